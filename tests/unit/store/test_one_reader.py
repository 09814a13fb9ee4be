"""No module reaches what a manifest vouches for but by `open_artefact`: neither where it lies, nor a library's way to open it."""

import ast

import pytest

from helpers.places import REPOSITORY

PACKAGE = REPOSITORY / "workflow" / "equipoise"
MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}
PLACES = (
    *("pool", "target", "checkpoint", "curvature", "adapter", "pool_gradients", "target_gradients", "matrix", "ranking", "selection"),
    *("pool_states", "target_states", "pool_scores", "influence_model"),
    *("samples", "scores", "run", "contamination", "root", "experiment_root"),
)
"""Attributes of a layout that say where data lie, without a manifest, or where anything lies."""
MAY_ASK = {
    "jobs": "lists the outputs of jobs",
    "experiment": "lists selections and score files",
    "data.pool": "writes the pool",
    "data.targets": "writes the validation examples",
    "training.epoch_checkpoints": "writes checkpoints",
    "training.warm_up": "names the folder of the Trainer's own checkpoints",
    "training.fine_tune": "writes adapters",
    "curvature.fit": "writes what is fitted",
    "gradients.collect": "writes stores",
    "gradients.audit_gradients": "names a task's store to the reader, with its manifests",
    "gradients.score_pool": "writes stores",
    "attribution.influence_model": "writes the model; names the store of states to the reader, with its manifests",
    "attribution.assemble": "writes rows; names stores to the reader, with their manifests",
    "selection.rank": "writes rankings; names the matrix in messages",
    "selection.select_budget": "writes selections; names the matrix in messages",
    "selection.selection_file": "finds a run's selection, and opens it by its manifest",
    "evaluation.evaluate": "writes samples",
    "evaluation.fine_tune_and_evaluate": "lists the manifests of scores that it has made",
    "reporting.compare": "names experiments by their folders",
    "reporting.cost": "measures the bytes of a matrix",
    "reporting.experiments": "finds an experiment's configuration",
    "reporting.facts": "measures the bytes of folders",
    "cluster.ending": "names the folder of results",
    "commands.stage": "names the folder of results, where records of running jobs lie",
    "cluster.unmade": "tells a compared estimator's artefacts from the own ones by their folder; reads none",
    "reporting.selected_examples": "names on paper where whole selections lie; reads none",
    "reporting.selection_audit": "names the pool in a message",
    "reporting.standing": "asks whether a run's scores exist; opens them by their manifest",
    "commands.options": "asks whether a selection exists",
    "cluster.status": "counts records",
    "study.one_pool": "names its results; lays what one estimator has fitted where another's fit looks for it and compares it",
    "commands.miniature": "names the folder of results, where records of running jobs lie",
}
"""Modules that may ask a layout for such a place, and what for."""
OPENERS = {
    *("zarr.open", "zarr.open_array", "zarr.open_group", "pq.read_table", "pq.ParquetFile", "pyarrow.parquet.read_table"),
    *("pd.read_parquet", "pd.read_csv", "pd.read_json", "safe_open", "load_file", "np.load", "np.memmap", "np.fromfile", "torch.load"),
    *("json.load", "read_manifest", "read_jsonl", "read_json", "PeftModel.from_pretrained", "dataset", "ds.dataset", "open", "os.open"),
}
"""Calls that open data, by what they are called as; `np.memmap` and `open` for writing are none."""
METHODS = {"read_text", "read_bytes", "open"}
VOUCHED = {"open_artefact", "open_alone", "file", "only_file", "folder"}
"""An opener whose argument is one of these calls is given what was just compared."""
MAY_OPEN = {
    # the base, files of the hub and the user's own
    "modelling.base_files": "the base",
    "planning.architecture": "the base",
    "conversation.tables": "the user's files",
    "planning.workload": "the user's files, read for their number of rows",
    "evaluation.grading": "verified ids, a file of the package",
    "attribution.matrix_file": "the user's matrix",
    "attribution.zarr_matrix": "the user's matrix",
    "attribution.bergson_scores": "the user's scores",
    "selection.selection_file": "the user's picks, and a selection that was compared",
    "selection.explain": "a file whose caller opened its artefact",
    "inputs": "says how files that users name are read",
    "files": "digests, and what it has written",
    "config_file": "configurations",
    "modelling.device": "what the system says",
    "cluster.devices": "locks",
    "cluster.failures": "logs",
    "cluster.run": "what the system says",
    "cluster.costs": "benchmark files of the workflow",
    "cluster.ending": "the report's verdict",
    "cluster.site": "the site's files",
    "evaluation.confined.landlock": "folders of the system, to name them",
    "evaluation.sandbox": "pipes",
    "reporting.facts": "benchmark files of the workflow",
    "reporting.page": "the package's own templates, and a library's",
    "reporting.take_away": "the report's own files",
    "reporting.published": "the paper's numbers, files of the package",
    "study.study": "the documents",
    "study.one_pool": "its own results, and lines of a selection whose artefact was opened",
    "study.final_comparison": "its own choice",
    # a file or folder that the caller opened by its manifest, and compared
    "modelling.checkpoint": "the folder of a checkpoint",
    "modelling.adapter": "the folder of a checkpoint or run",
    "gradients.adam": "the folder of a checkpoint",
    "gradients.ekfac": "the folder of a curvature",
    "curvature.kernel": "the folder of a curvature",
    "data.encoding": "the file of a pool or of validation examples, and texts of its rows",
    "training.training_set": "the files of a pool and of a selection",
    "reporting.scores": "lines of samples",
    "reporting.selection_audit": "lines of a selection",
    "reporting.selected_examples": "lines of a selection",
    # what no manifest vouches for
    "curvature.fit": "records of parts, which vouch for what is being fitted",
    "curvature.ekfac": "a part of what is being fitted, whose record was compared",
    "attribution.matrix_store": "its own chunks, to make them durable",
    "training.batch_trainer": "the Trainer's own checkpoints",
    "modelling.examples": "tokens that a training's first process left for the others, and what they were made from",
    "training.sharding": "the Trainer's own checkpoints",
    "training.resumption": "the Trainer's own checkpoints, to make them durable, and whose they are",
    "miniature.pretrain": "a snapshot of the base's own training",
    "reporting.cost": "seconds of rankings, which are in no manifest",
}
"""Modules that call an opener on something else, and on what."""


def layout_names(tree: ast.AST) -> set[str]:
    """Names that hold a layout: `layout`, and what a layout was assigned to."""
    names = {"layout", "_layout"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            pairs = [(node.targets[0], node.value)]
            if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(node.targets[0].elts, node.value.elts, strict=False))
            names |= {target.id for target, value in pairs if isinstance(target, ast.Name) and is_layout(value, names)}
        if isinstance(node, ast.arg) and node.annotation is not None and "Layout" in ast.unparse(node.annotation):
            names.add(node.arg)
    return names


def is_layout(value: ast.AST, names: set[str]) -> bool:
    """Whether an expression is a layout: by name, as an attribute, or made there."""
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1] == "Layout"
    return ast.unparse(value).split(".")[-1] in names if isinstance(value, ast.Name | ast.Attribute) else False


def places(source: str) -> list[str]:
    """Uses of a layout's places, as `layout.pool` or `config.layout.target(...)`."""
    tree = ast.parse(source)
    names = layout_names(tree)
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in PLACES and is_layout(node.value, names)
    ]


def opens(call: ast.Call) -> bool:
    """Whether a call opens something for reading."""
    name, method = ast.unparse(call.func), getattr(call.func, "attr", None)
    modes = [ast.unparse(each).strip("'") for each in [*call.args, *(keyword.value for keyword in call.keywords)]]
    return (name in OPENERS or method in METHODS) and not {"w", "wb", "w+", "a", "x", "r+", "os.O_WRONLY"} & set(modes)


def openings(source: str) -> list[str]:
    """Calls of openers on anything but what an artefact has just handed out."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and opens(node):
            inner = node.args[0] if ast.unparse(node.func) in OPENERS and node.args else getattr(node.func, "value", None)
            if not (isinstance(inner, ast.Call) and ast.unparse(inner.func).split(".")[-1] in VOUCHED):
                found.append(f"{node.lineno}: {ast.unparse(node)[:100]}")
    return found


@pytest.mark.parametrize(("look", "may"), [(places, MAY_ASK), (openings, MAY_OPEN)], ids=["where it lies", "how it is opened"])
def test_no_module_reaches_data_but_by_their_manifest(look, may):
    found = {name: look(path.read_text(encoding="utf-8")) for name, path in MODULES.items() if not name.startswith("store.")}
    assert {name: uses for name, uses in found.items() if uses and name not in may} == {}
    assert [name for name in may if not found.get(name)] == [], "listed, and does no such thing"


@pytest.mark.parametrize(
    ("look", "source"),
    [
        (places, "path = config.layout.pool"),
        (places, "def f(config):\n    where = config.layout\n    return where.ranking('a', 0)"),
        (places, "where, n = config.layout, 3\nwhere.root"),
        (places, "def f(where: Layout):\n    return where.samples(run, 'a', 0)"),
        (places, "Layout('r', 'e', 'm').matrix('influence')"),
        (openings, "zarr.open(path, mode='r')"),
        (openings, "pq.read_table(str(manifest).replace('manifest.json', 'pool.parquet'))"),
        (openings, "json.loads(Path(config.layout.pool_manifest).read_text())"),
        (openings, "read_manifest(config.layout.pool_manifest, 'pool')"),
    ],
)
def test_what_goes_by_another_way_is_seen(look, source):
    assert look(source)


def test_what_goes_by_the_reader_is_not():
    assert not openings("pq.read_table(open_artefact(config, 'pool').only_file(), columns=['row'])")
    assert not places("open_artefact(config, 'pool')\nconfig.pool.files\nconfig.layout.pool_manifest")
