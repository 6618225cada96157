"""Faults that people make, one each, planted in tests/third_party/unlabeled-sketch, and the promise that each breaks."""

from typing import NamedTuple


class Fault(NamedTuple):
    """A change of one place in the good plugin."""

    name: str
    file: str
    old: str
    new: str
    broken: str
    """The promise, as `component:promise`; `plugin` for the plugin's own."""


DATA, NETWORK, AUGMENTATIONS, OBJECTIVES, EVALUATOR = (
    f"{name}.py" for name in ("data", "network", "augmentations", "objectives", "evaluator")
)
MANIFEST, RECIPE, PACKAGE = "unlabeled.toml", "recipes/sketch-fill.yaml", "__init__.py"

FOLLOWS = """\
        with torch.no_grad():
            key = self.teacher.pool(self.teacher(views[1]))
        query = normalize(context.pooled(views[0]), dim=1)
        return {"query": query, "key": key, "scale": self.log_scale.exp()}

    def loss(self, own, all, context):
        keys = normalize(all["key"] - self.centre, dim=1)
        logits = own["query"] @ keys.T * own["scale"]
        places = torch.arange(len(keys))[context.rows]
        losses = logits.logsumexp(dim=1) - logits.gather(1, places.unsqueeze(1)).squeeze(1)
"""


def follows(features: str, losses: str) -> str:
    """As FOLLOWS, without teacher and candidates, of these `features` of each view and these `losses`."""
    return f"""\
        query, key = ({features} for view in views)
        return {{"query": query, "key": key, "scale": self.log_scale.exp()}}

    def loss(self, own, all, context):
        losses = {losses}
"""


FAULTS = (
    # the manifest
    Fault(
        "columns of another type in the manifest",
        MANIFEST,
        'columns = ["series"]',
        'columns = ["image"]',
        "sketch/stroke:declared",
    ),
    Fault(
        "a capability that the manifest has and the class lacks",
        MANIFEST,
        '"patches", "layers"]',
        '"patches", "layers", "causal"]',
        "sketch/tower:capability-causal",
    ),
    Fault("a capability that the manifest lacks", MANIFEST, ', "layers"]', "]", "sketch/tower:declared"),
    Fault(
        "a requirement that the manifest lacks",
        MANIFEST,
        'requires = ["tokens", "mask-token", "patches"]',
        'requires = ["tokens"]',
        "sketch/fill:declared",
    ),
    Fault("an object that is not there", MANIFEST, "objectives:Fill", "objectives:Filling", "sketch/fill:object"),
    Fault("an object of another kind", MANIFEST, "augmentations:Gaps", "objectives:Fill", "sketch/gaps:object"),
    # the plugin
    Fault(
        "a global seed at import",
        PACKAGE,
        "from unlabeled import hookimpl\n",
        "import torch\n\nfrom unlabeled import hookimpl\n\ntorch.manual_seed(0)\n",
        "plugin:import",
    ),
    Fault("a hook of an unknown argument", PACKAGE, "def run_ended(run, step)", "def run_ended(run, where)", "plugin:hooks"),
    Fault("a pickle", DATA, "import json\n", "import json\nimport pickle\n", "plugin:pickle"),
    Fault(
        "a collective behind an alias",
        OBJECTIVES,
        "import copy\n",
        "import copy\nfrom torch import distributed as dist\n",
        "plugin:communication",
    ),
    # the modality
    Fault("an option without a description", DATA, ', description="what points are multiplied by"', "", "sketch/stroke:config"),
    Fault(
        "NaN let through",
        DATA,
        "if not np.isfinite(points).all():",
        "if False:",
        "sketch/stroke:garbage",
    ),
    Fault(
        "a decoder that exits",
        DATA,
        'raise ValueError("a stroke is two or more points of two numbers")',
        "raise SystemExit(1)",
        "sketch/stroke:garbage",
    ),
    Fault(
        "an error without a reason",
        DATA,
        'raise ValueError("a stroke is two or more points of two numbers")',
        "raise ValueError",
        "sketch/stroke:garbage",
    ),
    Fault(
        "a decoder that draws",
        DATA,
        "        return {\"points\": (points - self.centre)",
        "        points = points + np.random.default_rng().normal(size=points.shape).astype(np.float32)\n"
        "        return {\"points\": (points - self.centre)",
        "sketch/stroke:deterministic",
    ),
    Fault(
        "take draws from the global generator",
        DATA,
        'int(draws("start").integers(0, 3))',
        "int(np.random.randint(0, 3))",
        "sketch/stroke:traces",
    ),
    Fault(
        "evaluation sees a random window",
        DATA,
        'if role == "plain" or len(points) < 6:',
        "if len(points) < 6:",
        "sketch/stroke:take",
    ),
    Fault(
        "a blank that is no number",
        DATA,
        "np.zeros((2, 2), dtype=np.float32)}",
        "np.full((2, 2), np.nan, dtype=np.float32)}",
        "sketch/stroke:blank",
    ),
    Fault(
        "raw features over padding",
        DATA,
        "weight.sum(dim=1, keepdim=True)",
        "points.shape[1]",
        "sketch/stroke:raw",
    ),
    Fault("what is learnt is not saved", DATA, "self.centre.tolist()", "[0.0, 0.0]", "sketch/stroke:restore"),
    Fault("a default augmentation that is not there", DATA, '"sketch/tremble"}]', '"sketch/shiver"}]', "sketch/stroke:pipelines"),
    # the source
    Fault("rows that change", DATA, "np.random.default_rng([index,", "np.random.default_rng([id(object()),", "sketch/strokes:rows"),
    Fault("rows beyond the end", DATA, "if not 0 <= index < len(self):", "if index < 0:", "sketch/strokes:bounds"),
    Fault("one fingerprint for all splits", DATA, 'f"1 {self.split} {', 'f"1 {', "sketch/strokes:fingerprint"),
    Fault("any split opens", DATA, "if split not in self.splits(config):", "if not split:", "sketch/strokes:splits"),
    Fault(
        "all columns whatever is asked for",
        DATA,
        "for name in columns}",
        "for name in made}",
        "sketch/strokes:columns",
    ),
    # the encoder
    Fault("a width of zero", NETWORK, "default=8, ge=1,", "default=8,", "sketch/tower:options"),
    Fault(
        "features of the batch's mean",
        NETWORK,
        "values = self.embedding(batch.inputs[\"points\"])",
        "values = self.embedding(batch.inputs[\"points\"])\n        values = values - values.mean(dim=(0, 1))",
        "sketch/tower:rows",
    ),
    Fault(
        "a mean over padding",
        NETWORK,
        "real = torch.ones(hidden.shape[:2], dtype=torch.bool) if padding is None else padding",
        "real = torch.ones(hidden.shape[:2], dtype=torch.bool)",
        "sketch/tower:padding",
    ),
    Fault(
        "an input changed in place",
        NETWORK,
        "values = self.embedding(batch.inputs[\"points\"])",
        "values = self.embedding(batch.inputs[\"points\"].mul_(2))",
        "sketch/tower:in-place",
    ),
    Fault(
        "a forward of its own",
        NETWORK,
        "    def pool(self",
        "    def forward(self, batch):\n        return self.encode(self.embed(batch).add(0.1))\n\n    def pool(self",
        "sketch/tower:forward",
    ),
    Fault(
        "a mask that shows what it hides",
        NETWORK,
        "torch.where(mask.unsqueeze(-1), token, tokens.values)",
        "tokens.values + mask.unsqueeze(-1) * token",
        "sketch/tower:capability-mask-token",
    ),
    Fault(
        "kept tokens that are not looked up",
        NETWORK,
        "gather_tokens(values, keep)",
        "values[:, : keep.shape[1]]",
        "sketch/tower:capability-drop-tokens",
    ),
    Fault("patches that do not come back", NETWORK, "return patches\n", "return patches * 2\n", "sketch/tower:capability-patches"),
    Fault("a prefix that is dropped", NETWORK, "prefix=context, padding", "prefix=None, padding", "sketch/tower:capability-class-token"),
    Fault("no layers", NETWORK, "layers=(hidden, values) if layers else ()", "layers=()", "sketch/tower:capability-layers"),
    Fault(
        "a parameter that nothing uses",
        NETWORK,
        "        self.mask_token = ",
        "        self.spare = nn.Parameter(torch.ones(3))\n        self.mask_token = ",
        "sketch/tower:gradient",
    ),
    Fault(
        "float32 in the middle",
        NETWORK,
        "return encoded.prefix[:, 0]",
        "return encoded.prefix[:, 0].float()",
        "sketch/tower:dtype",
    ),
    Fault(
        "an export that loses weights",
        NETWORK,
        "    def pool(self",
        "    def restore(self, folder):\n        pass\n\n    def pool(self",
        "sketch/tower:restore",
    ),
    Fault(
        "noise in evaluation",
        NETWORK,
        "return encoded.prefix[:, 0]",
        "return encoded.prefix[:, 0] + torch.rand_like(encoded.prefix[:, 0]) * 1e-3",
        "sketch/tower:deterministic",
    ),
    # the augmentations
    Fault("noise of the global generator", AUGMENTATIONS, 'draws("noise").normal(*points.shape[1:])', "points.clone().normal_()", "sketch/tremble:traces"),
    Fault("noise without the seed", AUGMENTATIONS, 'draws("noise")', 'type(draws)(0, 0, draws.ids)("noise")', "sketch/tremble:seed"),
    Fault("points changed in place", AUGMENTATIONS, "points=points + noise", "points=points.add_(noise)", "sketch/tremble:in-place"),
    Fault("noise scaled by the batch", AUGMENTATIONS, "self.config.size\n", "self.config.size * points.std()\n", "sketch/tremble:rows"),
    Fault("float32 whatever comes", AUGMENTATIONS, "points=points + noise", "points=(points + noise).float()", "sketch/tremble:dtype"),
    Fault("special tokens masked", AUGMENTATIONS, "return draws(\"points\").subset(layout.maskable, count)", "return draws(\"points\").subset(layout.maskable | True, count)", "sketch/gaps:valid"),
    Fault("a share of the longest row", AUGMENTATIONS, "layout.maskable.sum(dim=1) *", "layout.maskable.sum(dim=1).max().expand(len(layout.lengths)) *", "sketch/gaps:rows"),
    Fault("a share of the padding too", AUGMENTATIONS, "layout.maskable.sum(dim=1) *", "(layout.maskable.shape[1] + 0 * layout.lengths) *", "sketch/gaps:padding"),
    # the objectives
    Fault("counts of rows", OBJECTIVES, '{"fill": self.chosen(views[0]).sum()}', "{}", "sketch/fill:counts"),
    Fault("counts of another term", OBJECTIVES, 'return {"fill": self', 'return {"filled": self', "sketch/fill:counts"),
    Fault("counts of what is not there", OBJECTIVES, "return {\"fill\": self.chosen(views[0]).sum()}", "return {\"fill\": views[0].masks[\"hidden\"].sum()}", "sketch/fill:counts"),
    Fault("a mean of the micro-batch", OBJECTIVES, '"errors": (errors * chosen).sum(dim=1)', '"errors": (errors * chosen).sum(dim=1) - errors.mean()', "sketch/fill:micro-batches"),
    Fault("a mean of the process's rows", OBJECTIVES, '{"fill": own["errors"].sum()}', '{"fill": own["errors"].mean()}', "sketch/fill:processes"),
    Fault("hidden points that are shown", OBJECTIVES, "drawn = self.pen(encoded.values)", "drawn = self.pen(encoded.values.detach())", "sketch/fill:gradient"),
    Fault("a head that nothing reaches", OBJECTIVES, "drawn = self.pen(encoded.values)", "drawn = encoded.values[:, :, :2]", "sketch/fill:gradient"),
    Fault("keys of the own process", OBJECTIVES, 'normalize(all["key"]', 'normalize(own["key"]', "sketch/follow:processes"),
    Fault("positives of the first rows", OBJECTIVES, "torch.arange(len(keys))[context.rows]", "torch.arange(len(own[\"query\"]))", "sketch/follow:processes"),
    Fault("a teacher that is trained", OBJECTIVES, ".requires_grad_(False)", "", "sketch/follow:gradient"),
    Fault("a teacher that is the student", OBJECTIVES, "copy.deepcopy(encoder).requires_grad_(False)", "encoder", "sketch/follow:saved-state"),
    Fault("a centre that loss moves", OBJECTIVES, '        keys = normalize', '        self.centre.add_(0.1)\n        keys = normalize', "sketch/follow:state"),
    Fault("a centre outside the buffers", OBJECTIVES, 'self.register_buffer("centre", torch.zeros(encoder.pooled_width))', "self.centre = torch.zeros(encoder.pooled_width, dtype=torch.float64)", "sketch/follow:saved-state"),
    Fault("statistics with a gradient", OBJECTIVES, 'own["key"].detach().sum(dim=0)', 'own["query"].sum(dim=0)', "sketch/follow:outputs"),
    Fault("noise in the loss", OBJECTIVES, "* own[\"scale\"]\n", "* own[\"scale\"] + torch.rand(len(keys))\n", "sketch/follow:deterministic"),
    Fault("settings of a parameter that is not there", OBJECTIVES, '{"log_scale": {"weight', '{"temperature": {"weight', "sketch/follow:groups"),
    Fault("a state that explodes", OBJECTIVES, "self.steps.add_(1)", "self.steps.div_(0)", "sketch/follow:after-step"),
    # the evaluator and the recipe
    Fault("no raw baseline", EVALUATOR, "            for subject in subjects:", "            for subject in subjects[:2]:", "sketch/centroid:baselines"),
    Fault("scored on the training split", EVALUATOR, "test = (subject.features(split, encoder) for split in (context.train, context.test))", "test = (subject.features(split, encoder) for split in (context.train, context.train))", "sketch/centroid:held-out"),
    Fault("a protocol that is no JSON", EVALUATOR, '{"classes": len(means)}', '{"classes": means}', "sketch/centroid:protocol"),
    Fault("a favour for the trained encoder", EVALUATOR, "float(distances.min(axis=1).mean())", 'float(distances.min(axis=1).mean()) - (subject.name == "trained")', "sketch/centroid:alike"),
    Fault("another result each time", EVALUATOR, "float(distances.min(axis=1).mean())", "float(distances.min(axis=1).mean()) + np.random.default_rng().random()", "sketch/centroid:deterministic"),
    Fault("a recipe of an unknown component", RECIPE, "id: sketch/fill}", "id: sketch/filling}", "sketch/sketch-fill:resolves"),
    Fault("a recipe with a wrong option", RECIPE, "batch_size: 16", "batch_sise: 16", "sketch/sketch-fill:resolves"),
    # what only the trainer, another process or other data show
    Fault("a number of the process", NETWORK, "def pool(self, encoded):\n        return encoded.prefix[:, 0]", "def pool(self, encoded, scale=__import__('os').getpid() % 97 + 1.0):\n        return encoded.prefix[:, 0] * scale", "sketch/tower:export"),
    Fault("a decoder that hangs", DATA, "if points.ndim != 2 or", "while not points.size:\n            pass\n        if points.ndim != 2 or", "sketch/stroke:garbage"),
    Fault("state that is not saved", NETWORK, "        mean = (hidden * weight)", "        if self.training:\n            self.seen = getattr(self, 'seen', 0.0) + 0.01\n            hidden = hidden + self.seen\n        mean = (hidden * weight)", "sketch/tower:continues"),
    Fault("weights of each process's own", OBJECTIVES, 'self.register_buffer("steps", torch.zeros(1))', 'import os\n\n        self.register_buffer("steps", torch.full((1,), float(os.getpid())))', "sketch/follow:invariance"),
    Fault("a gradient of the wrong sign", OBJECTIVES, "        return {\"errors\"", "        errors = 2 * errors.detach() - errors\n        return {\"errors\"", "sketch/fill:learns"),
    # a loss that falls although nothing is learnt
    Fault("views that are only pulled together", OBJECTIVES, FOLLOWS, follows("context.pooled(view)", '(own["query"] - own["key"]).square().sum(dim=1)'), "sketch/follow:collapse"),
    Fault("directions that are only pulled together", OBJECTIVES, FOLLOWS, follows("normalize(context.pooled(view), dim=1)", '1 - (own["query"] * own["key"]).sum(dim=1)'), "sketch/follow:collapse"),
    Fault("features that are only pushed apart", OBJECTIVES, FOLLOWS, follows("normalize(context.pooled(view), dim=1)", '(own["query"] @ all["query"].T).logsumexp(dim=1)'), "sketch/follow:collapse"),
    Fault("features that only shrink", OBJECTIVES, FOLLOWS, follows("context.pooled(view)", 'own["query"].square().sum(dim=1)'), "sketch/follow:collapse"),
    Fault("pairs of different samples", OBJECTIVES, FOLLOWS, follows("normalize(context.pooled(view), dim=1)", 'nn.functional.cross_entropy(own["query"] @ all["key"].roll(1, dims=0).T * 5, torch.arange(len(all["key"]))[context.rows], reduction="none")'), "sketch/follow:collapse"),
    Fault("an encoder that ignores its input", NETWORK, 'self.embedding(batch.inputs["points"])', 'self.embedding(batch.inputs["points"] * 0)', "sketch/fill:collapse"),
)  # fmt: skip
SLOW = (
    "plugin:import",
    "sketch/tower:export",
    "sketch/tower:continues",
    "sketch/follow:invariance",
    "sketch/fill:learns",
    "sketch/fill:collapse",
    "sketch/follow:collapse",
)
"""Promises that take a new process or a run."""
