import tomllib
from pathlib import Path

import pytest

from unlabeled_registry.capabilities import CAPABILITIES
from unlabeled_registry.errors import ManifestError
from unlabeled_registry.manifest import Manifest, parse
from unlabeled_registry.schema import KINDS

GOOD = """
schema = 1
name = "unlabeled-demo"
api = ">=1.0,<2"
summary = "A demonstration"
uses = ["standard/random-masking"]

[[provides]]
kind = "modality"
id = "signal"
object = "unlabeled_demo.modality:Signal"
summary = "Signals"
encoder = "demo/net"
columns = ["series"]

[[provides]]
kind = "encoder"
id = "net"
object = "unlabeled_demo.encoders:Outer.Net"
summary = "A network"
modalities = ["demo/signal"]
provides = ["tokens", "mask-token"]

[[provides]]
kind = "augmentation"
id = "noise"
object = "unlabeled_demo:Noise"
summary = "Noise"
modalities = ["*"]

[[provides]]
kind = "objective"
id = "net"
object = "unlabeled_demo.objectives.net:Net"
summary = "Another kind may have the same id"
requires = ["mask-token"]

[[provides]]
kind = "recipe"
id = "signal-net"
object = "unlabeled_demo:recipes/signal-net.yaml"
summary = "A recipe"
"""


def read(text: str) -> Manifest:
    return parse(
        tomllib.loads(text),
        distribution="unlabeled-demo",
        version="0.3",
        package="unlabeled_demo",
        path=Path("unlabeled.toml"),
    )


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as error:
        read(text)
    return error.value.problems


def test_a_good_manifest() -> None:
    manifest = read(GOOD)
    assert (manifest.name, manifest.version, manifest.package) == ("unlabeled-demo", "0.3", "unlabeled_demo")
    assert manifest.uses == ("standard/random-masking",)
    assert manifest.compatible
    modality, encoder, augmentation, objective, recipe = manifest.components
    assert (modality.id, modality.name, modality.owner, modality.plugin) == (
        "demo/signal", "signal", "demo", "unlabeled-demo",
    )  # fmt: skip
    assert (modality.encoder, modality.columns) == ("demo/net", ("series",))
    assert encoder.provides == ("tokens", "mask-token")
    image = modality._replace(id="vision/image")
    assert encoder.takes(modality)
    assert not encoder.takes(image)
    assert augmentation.takes(image)
    assert (objective.id, objective.requires) == ("demo/net", ("mask-token",))
    assert recipe.object == "unlabeled_demo:recipes/signal-net.yaml"


def test_a_distribution_of_another_name_owns_its_whole_name() -> None:
    manifest = parse(
        tomllib.loads(GOOD.replace("unlabeled-demo", "my-lab").replace("unlabeled_demo", "my_lab")),
        distribution="my-lab",
        version="1",
        package="my_lab",
        path=Path("unlabeled.toml"),
    )
    assert manifest.components[0].id == "my-lab/signal"


KIND_LIST = ", ".join(KINDS)

BROKEN = [
    ("schema = 1", "", "schema: missing"),
    ("schema = 1", "schema = 2", "schema: 2 is not 1; upgrade unlabeled-registry to read it"),
    ("schema = 1", 'schema = "one"', "schema: 'one' is not 1"),
    ('name = "unlabeled-demo"', "", "name: missing"),
    ('name = "unlabeled-demo"', 'name = "demo"', "name: 'demo' is not the distribution's name, 'unlabeled-demo'"),
    ('api = ">=1.0,<2"', "", "api: missing"),
    ('api = ">=1.0,<2"', 'api = "1"', "api: '1' is no range such as '>=1.0,<2'"),
    ('api = ">=1.0,<2"', "api = 1.0", "api: must be one line of text"),
    ('summary = "A demonstration"', 'summary = ""', "summary: must be one line of text"),
    ('uses = ["standard/random-masking"]', 'usess = ["standard/x"]', "usess: unknown key; did you mean 'uses'?"),
    (
        'uses = ["standard/random-masking"]', 'plugins = ["standard/x"]',
        "plugins: unknown key; one of: schema, name, api, summary, uses, hooks, provides",
    ),
    (
        'uses = ["standard/random-masking"]', 'uses = ["random-masking"]',
        "uses: 'random-masking' must be a full name, such as 'vision/vit'",
    ),
    ('uses = ["standard/random-masking"]', 'uses = "a/b"', 'uses: must be a list of text, such as ["a", "b"]'),
    ('kind = "objective"', 'kind = "objectiv"', "provides[net].kind: 'objectiv' is no kind; did you mean 'objective'?"),
    ('kind = "objective"', 'kind = "zzz"', f"provides[net].kind: 'zzz' is no kind; one of: {KIND_LIST}"),
    ('kind = "objective"', "", "provides[net].kind: missing"),
    ('id = "noise"', "", "provides[3].id: missing"),
    (
        'id = "noise"', 'id = "demo/noise"',
        "provides[demo/noise].id: 'demo/noise' must be lower-case letters, digits and hyphens, such as 'my-part'",
    ),
    ('id = "noise"\nobject', 'id = "noise"\nobjct', "provides[noise].objct: unknown key; did you mean 'object'?"),
    (
        'requires = ["mask-token"]', 'requires = ["mask-tokens"]',
        "provides[net].requires: 'mask-tokens' is no capability; did you mean 'mask-token'?",
    ),
    (
        'requires = ["mask-token"]', 'requires = ["zzz"]',
        f"provides[net].requires: 'zzz' is no capability; one of: {', '.join(CAPABILITIES)}",
    ),
    ('columns = ["series"]', "dense = 1", "provides[signal].dense: must be true or false"),
    ('columns = ["series"]', "columns = [1]", 'provides[signal].columns: must be a list of text, such as ["a", "b"]'),
    ('encoder = "demo/net"', "", "provides[signal].encoder: missing"),
    (
        'encoder = "demo/net"', 'encoder = "net"',
        "provides[signal].encoder: 'net' must be a full name, such as 'vision/vit'",
    ),
    ('modalities = ["demo/signal"]', "", "provides[net].modalities: missing"),
    (
        'modalities = ["demo/signal"]', "modalities = []",
        'provides[net].modalities: names no modality; write ["*"] for all',
    ),
    (
        '"unlabeled_demo:Noise"', '"unlabeled_demo.Noise"',
        "provides[noise].object: 'unlabeled_demo.Noise' must look like 'unlabeled_demo:Name'",
    ),
    (
        '"unlabeled_demo:Noise"', '"os:system"',
        "provides[noise].object: 'os:system' lies outside the plugin's own package, 'unlabeled_demo'",
    ),
    (
        '"unlabeled_demo:recipes/signal-net.yaml"', '"unlabeled_demo:../../secret.yaml"',
        "provides[signal-net].object: 'unlabeled_demo:../../secret.yaml' must look like "
        "'unlabeled_demo:recipes/name.yaml'",
    ),
    (
        '"unlabeled_demo:recipes/signal-net.yaml"', '"unlabeled_vision:recipes/a.yaml"',
        "provides[signal-net].object: 'unlabeled_vision:recipes/a.yaml' lies outside the plugin's own package, "
        "'unlabeled_demo'",
    ),
    ('id = "signal-net"', 'id = "signal-net"\nrequires = []', "provides[signal-net].requires: unknown key; one of: "),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "message"), BROKEN, ids=[message for _, _, message in BROKEN])
def test_each_fault_has_its_line(good: str, bad: str, message: str) -> None:
    assert good in GOOD
    found = problems(GOOD.replace(good, bad, 1))
    assert any(line.startswith(message) for line in found), found
    assert all("\n" not in line for line in found)


def test_two_components_of_one_kind_and_id() -> None:
    twice = GOOD.replace('id = "noise"', 'id = "net"').replace('kind = "augmentation"', 'kind = "objective"')
    twice = twice.replace('modalities = ["*"]', "")
    assert problems(twice) == ("provides[net].id: there are two of kind 'objective'; rename one",)


def test_a_manifest_that_provides_nothing() -> None:
    assert problems(GOOD.partition("[[provides]]")[0]) == ("provides: missing",)


def test_provides_that_is_no_list_of_tables() -> None:
    text = GOOD.partition("[[provides]]")[0] + "provides = [1]"
    assert problems(text) == ("provides: must be one or more [[provides]] tables",)


def test_all_problems_come_at_once() -> None:
    text = GOOD.replace('api = ">=1.0,<2"', "").replace('"demo/net"', '"net"').replace('kind = "recipe"', "")
    assert [line.partition(": ")[0] for line in problems(text)] == [
        "api", "provides[signal].encoder", "provides[signal-net].kind",
    ]  # fmt: skip


def test_a_manifest_for_other_interfaces_may_say_what_these_do_not_know() -> None:
    text = GOOD.replace('api = ">=1.0,<2"', 'api = ">=2"\nfuture = true').replace('"tokens"', '"time-travel"')
    manifest = read(text)
    assert not manifest.compatible
    assert [part.name for part in manifest.components] == ["signal", "noise", "net", "signal-net"]
