# The public names, for type checkers; at run time they are imported when first used.
from unlabeled_registry.hooks import hookimpl as hookimpl

from unlabeled.errors import UnlabeledError as UnlabeledError
from unlabeled.interfaces.augmentation import Augmentation as Augmentation
from unlabeled.interfaces.augmentation import Masking as Masking
from unlabeled.interfaces.augmentation import Transform as Transform
from unlabeled.interfaces.batch import Batch as Batch
from unlabeled.interfaces.batch import Encoded as Encoded
from unlabeled.interfaces.batch import Layout as Layout
from unlabeled.interfaces.batch import Tokens as Tokens
from unlabeled.interfaces.batch import View as View
from unlabeled.interfaces.capabilities import CAPABILITIES as CAPABILITIES
from unlabeled.interfaces.capabilities import Capability as Capability
from unlabeled.interfaces.draws import Draws as Draws
from unlabeled.interfaces.draws import Stream as Stream
from unlabeled.interfaces.encoder import Encoder as Encoder
from unlabeled.interfaces.encoder import gather_tokens as gather_tokens
from unlabeled.interfaces.evaluator import Evaluation as Evaluation
from unlabeled.interfaces.evaluator import EvaluationContext as EvaluationContext
from unlabeled.interfaces.evaluator import EvaluationData as EvaluationData
from unlabeled.interfaces.evaluator import Evaluator as Evaluator
from unlabeled.interfaces.evaluator import Subject as Subject
from unlabeled.interfaces.modality import ComponentSpec as ComponentSpec
from unlabeled.interfaces.modality import Config as Config
from unlabeled.interfaces.modality import Modality as Modality
from unlabeled.interfaces.modality import Sample as Sample
from unlabeled.interfaces.objective import Context as Context
from unlabeled.interfaces.objective import Facts as Facts
from unlabeled.interfaces.objective import Loss as Loss
from unlabeled.interfaces.objective import Objective as Objective
from unlabeled.interfaces.objective import ViewSpec as ViewSpec
from unlabeled.interfaces.objective import own_rows as own_rows
from unlabeled.interfaces.objective import present_rows as present_rows
from unlabeled.interfaces.source import Row as Row
from unlabeled.interfaces.source import Source as Source
from unlabeled.runs.api import evaluate as evaluate
from unlabeled.runs.api import export as export
from unlabeled.runs.api import load as load
from unlabeled.runs.api import train as train
from unlabeled.runs.run import Run as Run
from unlabeled.training.normalization import BatchNorm as BatchNorm

__version__: str
