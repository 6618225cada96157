"""The closed vocabulary in which objectives say what they need and encoders say what they have."""

from collections.abc import Mapping
from types import MappingProxyType

Capability = str

CAPABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "tokens": "the tokens after `encode` correspond one to one to those before it",
        "class-token": "the encoded prefix holds a token that stands for the whole sample",
        "mask-token": "`replace` puts the encoder's own learned vector in place of masked tokens",
        "drop-tokens": "`encode` runs on the kept tokens only, and at their cost",
        "patches": "`patches` gives the raw values behind each token, and `unpatch` puts them back",
        "vocabulary": "tokens are discrete ids, and encoded tokens can be scored against all of them",
        "causal": "a token sees only itself and earlier tokens",
        "layers": "`encode` can also return the hidden state after every layer",
        "branches": "`encode` can also return what each layer adds to its residual stream",
        "local-features": "`embed` gives the features before any context, in `Tokens.features`",
        "multi-resolution": "samples of different sizes are encoded with interpolated positions",
        "paired": "rows hold a second modality; the recipe provides it, not an encoder",
    }
)
PAIRED: Capability = "paired"
