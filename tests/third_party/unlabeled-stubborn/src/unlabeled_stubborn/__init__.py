"""Rows of numbers whose decoder hangs, or ends its process, where a row begins with certain numbers."""

import os
import re
import signal

from unlabeled_rows import Perceptron as PlainPerceptron
from unlabeled_rows import Row as PlainRow

HANGS, CRASHES, EXITS = 1001.0, 1002.0, 1003.0


class Row(PlainRow):
    def decode(self, cell):
        if cell[0] == HANGS:
            re.match(r"(a+)+$", "a" * 200 + "b")  # years, without letting any other thread of the process run
        if cell[0] == CRASHES:
            os.kill(os.getpid(), signal.SIGSEGV)
        if cell[0] == EXITS:
            os._exit(3)
        return super().decode(cell)


class CachedRow(Row):
    cached = True


class Perceptron(PlainPerceptron):
    pass
