"""A user's mistake that the configuration alone can tell is refused when it is read (config_checks.py); the stages raise for the rest only.

Every `raise UserError` of the stages stands below with what it needs besides the configuration. A new one either moves to
`config_checks.py`, with a row in `test_config_checks.py`, or is added here with its reason.
"""

import ast
from collections import Counter
from collections.abc import Iterator

import pytest

from helpers.places import REPOSITORY

PACKAGE = REPOSITORY / "workflow" / "equipoise"
STAGES = ("conversation", "modelling", "data", "harness", "training", "gradients", "curvature", "attribution", "selection", "evaluation")
STAGES += ("validation", "reporting", "miniature", "study", "checking")

REMAINING: dict[str, dict[str, tuple[int, str]]] = {
    "attribution.analyses": {
        "_refuse_empty": (1, "the arrays given"),
        "balance": (1, "the arrays given"),
    },
    "attribution.assemble": {
        "_open_stores": (1, "the stores collected"),
        "_target_rows": (2, "the stores collected"),
        "assemble_attribution": (1, "the command's argument"),
        "epoch_weights": (1, "the checkpoints"),
        "shard_plan": (1, "the pool's plan and the command's argument"),
    },
    "attribution.bergson_scores": {
        "BergsonScores.__init__": (3, "the store given"),
        "BergsonScores._refuse_unwritten": (1, "the store given"),
        "_info": (3, "the store given"),
        "_run": (1, "the store given"),
        "_fields": (3, "the store given"),
    },
    "attribution.matrix_file": {
        "_named": (1, "the matrix given"),
        "_open_safetensors": (3, "the matrix given"),
        "_read_csv": (3, "the matrix given"),
        "_array": (2, "the file given"),
        "_read_parquet": (3, "the matrix given"),
        "_to_array": (1, "the matrix given"),
        "_is_header": (1, "the matrix given"),
        "open_matrix": (4, "the matrix given"),
        "read_mask": (2, "the file given"),
        "read_tasks": (2, "the file given"),
    },
    "attribution.influence_model": {
        "fit_influence_model": (1, "the number of valid rows among the sampled ones"),
    },
    "attribution.matrix_store": {
        "read_valid": (1, "the matrix on disk"),
    },
    "attribution.own_scores": {
        "OwnScores.chunks": (1, "the matrix given"),
        "_refuse_other_names": (1, "the matrix given and the pool"),
        "refuse_unfit": (3, "the matrix given and the pool"),
    },
    "attribution.products": {
        "_refuse_non_finite": (1, "the rows computed"),
    },
    "attribution.seal": {
        "_shard": (1, "the manifests of the shards"),
        "seal_attribution": (1, "the pool's manifest"),
    },
    "attribution.zarr_matrix": {
        "Sharded.__getitem__": (1, "the matrix given"),
        "_refuse_missing_chunks": (2, "the matrix given"),
        "open_zarr_array": (2, "the matrix given"),
    },
    "checking.check_base": {
        "_in_one_line": (1, "the model"),
        "_answer": (1, "the model"),
        "_collect": (1, "the model"),
        "_refuse_larger_vocabulary": (1, "the base's files"),
        "_refuse_longer_targets": (1, "the base's configuration"),
        "_refuse_looking_ahead": (1, "the model"),
        "_train": (1, "the model"),
    },
    "checking.check_files": {
        "_records": (1, "the files given"),
        "opened": (2, "the files given"),
    },
    "checking.first_config": {
        "material": (1, "the files given"),
    },
    "conversation.sources": {
        "_in_folder": (2, "the folder given"),
        "_named_by": (4, "the files given"),
        "find_files": (1, "the files given"),
        "load_hub": (1, "the hub"),
        "read_rows": (1, "the file given"),
    },
    "conversation.forms": {
        "refuse_unknown": (1, "config_checks.py, which asks it"),
    },
    "conversation.reading": {
        "placed_records": (1, "the rows of a file or data set"),
    },
    "conversation.tables": {
        "saved_rows": (1, "the folder given"),
    },
    "conversation.text_files": {
        "_array_rows": (2, "the file given"),
        "_lines": (2, "the file given"),
        "_open": (1, "the file given"),
        "csv_rows": (2, "the file given"),
    },
    "data.benchmark_examples": {
        "_documents": (1, "the benchmark's data"),
        "_drawn": (1, "the benchmark's data"),
        "drawn_examples": (1, "the benchmark's data"),
    },
    "data.encoding": {
        "encode_file": (1, "the file of examples"),
    },
    "data.fetch": {
        "_fetch_pool": (1, "the hub"),
        "_fetch_punkt_tab": (1, "NLTK's server"),
        "fetch": (1, "the environment"),
    },
    "data.task_files": {
        "held_out_records": (1, "the task's files"),
    },
    "data.pool": {
        "_uncontaminated": (2, "the pool's rows"),
        "prepare_pool": (1, "the pool's rows"),
        "tokenised": (1, "the pool's rows and the tokenizer"),
    },
    "data.shards": {
        "plan_shards": (1, "the number of the pool's rows, without pool.limit"),
    },
    "data.targets": {
        "_from_files": (1, "the task's files"),
        "_token_counts": (2, "the tokenizer"),
        "examined_targets": (1, "the command's argument"),
    },
    "evaluation.decontaminate": {
        "decontaminate": (1, "the command: by hand it may be asked of an experiment that leaves pool.decontaminate at skip"),
    },
    "evaluation.decoding": {
        "decode": (1, "the model"),
    },
    "evaluation.evaluate": {
        "evaluate": (1, "the command's argument"),
        "item_rows": (1, "the metrics that lm-eval reports"),
    },
    "evaluation.grading": {
        "with_boxed_answers.boxed": (1, "the benchmark's data"),
    },
    "evaluation.items": {
        "_same_commits": (1, "the benchmark's data"),
        "_same_documents": (1, "the benchmark's data"),
        "suite_items": (1, "the leaves of lm-eval's groups"),
    },
    "evaluation.language_model": {
        "LanguageModel._model_generate": (1, "the definition of the lm-eval task"),
    },
    "evaluation.loss_items": {
        "loss_items": (1, "the items' tokens"),
    },
    "evaluation.sandbox": {
        "check_sandbox": (1, "the machine"),
        "confining": (2, "the machine, and the definition of the lm-eval task: a user's own may run programs"),
    },
    "evaluation.session": {
        "Session._vllm": (1, "the environment"),
        "adapter_digest": (1, "the run's files"),
    },
    "curvature.ekfac": {
        "EkfacFit.fit": (1, "the gradients"),
    },
    "curvature.kernel": {
        "KernelFit.fit": (1, "the store collected"),
    },
    "gradients.adam": {
        "_files": (1, "the checkpoint"),
        "_moment": (2, "the checkpoint"),
        "_stock": (3, "the checkpoint"),
        "load_moments": (1, "the checkpoint"),
    },
    "gradients.audit_gradients": {
        "_drawn_rows": (1, "the stores collected"),
    },
    "gradients.capture": {
        "Capture.refuse_unseen": (2, "the model"),
        "refuse_unsupported": (9, "the checkpoint and the model"),
    },
    "gradients.head": {
        "Head.__init__": (1, "the model"),
        "_refuse_non_finite": (1, "the model"),
        "_tried": (1, "the model"),
    },
    "gradients.logra": {
        "damped_inverse": (1, "the gradients"),
        "invert_damped": (1, "the gradients"),
    },
    "gradients.fitted": {
        "open_fitted": (1, "the files of the fit"),
    },
    "gradients.loop": {
        "_chunks": (1, "the pool's plan"),
        "run_or_halve": (1, "the machine's memory"),
    },
    "harness.chosen": {
        "choose": (1, "the benchmark's data"),
    },
    "harness.drawing": {
        "apart_split": (2, "the definition of the lm-eval task and its data"),
        "in_one_line": (1, "the definition of the lm-eval task"),
        "reference": (1, "the data of the lm-eval task"),
        "refuse_unlearnable": (3, "the definition of the lm-eval task"),
    },
    "harness.documents": {
        "evaluation_prompt": (1, "the definition of the lm-eval task"),
        "refuse_missing_columns": (1, "the benchmark's data"),
        "refuse_without_punkt_tab": (1, "NLTK's data on the machine"),
    },
    "harness.revisions": {
        "refuse_other_commits": (1, "the hub's cache"),
    },
    "harness.shots": {
        "without_validation_shots": (1, "the benchmark's data"),
    },
    "harness.tasks": {
        "_task_manager": (2, "the definitions of lm-eval tasks on disk"),
        "load_tasks": (1, "the hub"),
    },
    "harness.usable": {
        "_refuse_longer_answers": (1, "the definition of the lm-eval task and the base's configuration"),
        "_refuse_metric": (3, "the definition of the lm-eval task"),
    },
    "miniature.composition": {
        "audit_selection": (2, "the pool's rows"),
    },
    "miniature.generate": {
        "generate": (1, "the command: other experiments need no generated data"),
        "write_data": (1, "the command's argument"),
    },
    "miniature.pretrain": {
        "_resume": (1, "the snapshot on disk"),
    },
    "study.study": {
        "_finished": (1, "what a pool's process left"),
        "pools_so_far": (1, "what is there of a study"),
        "pool_experiment": (2, "the command: other experiments need no generated data; its argument"),
        "run_study": (1, "the exit status of a pool's process"),
    },
    "study.one_pool": {
        "_scores": (1, "a training that did not stay finite"),
        "read_result": (1, "a file that an earlier study left"),
    },
    "study.agreement": {
        "measures_of": (1, "what is there of a study and of validations"),
    },
    "study.final_comparison": {
        "_refuse_second": (2, "what is there of a final comparison"),
        "run_final": (1, "the candidates' results"),
    },
    "modelling.device": {
        "refuse_missing_gpus": (1, "what the job was given"),
    },
    "modelling.adapter": {
        "attach_adapter": (1, "the model"),
        "load_adapter": (1, "the adapter on disk and the model"),
        "refuse_other_tensors": (2, "the adapter on disk and the model"),
        "saved_shapes": (2, "the adapter on disk"),
        "refuse_non_finite_weights": (1, "the adapter on disk"),
        "_refuse_another_rank": (2, "the adapter on disk"),
    },
    "modelling.quantised": {
        "refuse_eight_bits": (1, "the loaded base"),
        "settings_of": (1, "what is installed for this interpreter"),
    },
    "modelling.base": {
        "base_folder": (2, "the folder or the hub"),
        "_refuse_other_tensors": (1, "the base's weights"),
        "_refuse_spilled": (1, "the GPUs' free memory"),
        "_set_template": (1, "the tokenizer"),
        "_template_file": (1, "the template's file"),
        "load_base": (2, "the base's files"),
        "load_tokenizer": (2, "the tokenizer"),
        "positions_for": (1, "the base's configuration"),
        "resolve_device": (1, "the machine"),
    },
    "modelling.base_files": {
        "_own_values": (3, "the base's files"),
        "read_architecture": (5, "the base's files"),
        "refuse_without_tokenizer": (1, "the base's files"),
        "weight_files": (4, "the base's files"),
    },
    "modelling.targets": {
        "_refuse_layers_without": (1, "the model"),
        "_refuse_unmatched": (2, "the model"),
        "carrying": (1, "the model"),
        "decoder_layers": (1, "the model"),
    },
    "modelling.template": {
        "ChatTemplate.refuse_unusable": (2, "the chat template"),
    },
    "modelling.checkpoint": {
        "adapter_identity": (1, "the checkpoint"),
    },
    "reporting.compare": {
        "_compared": (2, "the other experiment"),
        "compare": (1, "the other experiment"),
    },
    "reporting.experiments": {
        "find_experiment": (1, "the folders of results"),
        "second_model": (5, "the other experiment"),
    },
    "reporting.scores": {
        "_check": (1, "the scores and samples"),
        "_read_samples": (3, "the samples"),
        "read_evaluation": (4, "the scores and samples; the command: an experiment without suites ends at its selections"),
    },
    "reporting.sealed_matrix": {
        "read_matrix": (1, "the matrix on disk"),
    },
    "reporting.selection_audit": {
        "table_audit": (1, "the pool's rows"),
    },
    "selection.explain": {
        "_example": (3, "the targets on disk"),
        "_find": (1, "the command's argument"),
    },
    "selection.export": {
        "_with_messages": (2, "the selection and the pool given"),
        "_write_huggingface": (1, "the folder given"),
        "export": (1, "the arguments and the selection given"),
    },
    "selection.interface": {
        "select": (1, "the arguments given"),
        "_valid_rows": (2, "the arguments given"),
        "make_problem": (4, "the arguments given"),
    },
    "selection.normalise": {
        "informative": (2, "the matrix"),
    },
    "selection.rank": {
        "valid_rows": (1, "the matrix on disk"),
    },
    "selection.select_budget": {
        "select_budget": (1, "the number of valid rows"),
    },
    "selection.selection_file": {
        "find_selection": (2, "the path given"),
        "read_picks": (5, "the picks given"),
    },
    "selection.source": {
        "Source.__init__": (2, "the matrix given"),
        "Source.read": (2, "the matrix given"),
    },
    "selection.top_lists": {
        "refuse_non_finite": (2, "the matrix"),
    },
    "selection.without_matrix": {
        "oracle": (1, "the pool given"),
    },
    "training.epoch_checkpoints": {
        "EpochCheckpoints.write_manifests": (1, "the checkpoints on disk"),
    },
    "training.trainer": {
        "_refuse_other_processes": (1, "the processes that run"),
    },
    "training.training_set": {
        "_with_completion": (1, "the training examples"),
        "selected_rows": (1, "the selection on disk"),
    },
}


def raises(node: ast.AST, within: tuple[str, ...] = ()) -> Iterator[str]:
    """The function (`outer.inner`, `Class.method`) around every `raise UserError`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call) and ast.unparse(child.exc.func) == "UserError":
            yield ".".join(within)
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from raises(child, (*within, child.name) if named else within)


@pytest.fixture(scope="module")
def found() -> dict[str, Counter]:
    counts = {}
    for path in sorted(path for stage in STAGES for path in (PACKAGE / stage).rglob("*.py")):
        counted = Counter(raises(ast.parse(path.read_text(encoding="utf-8"))))
        if counted:
            counts[".".join(path.relative_to(PACKAGE).with_suffix("").parts)] = counted
    return counts


def test_a_stage_refuses_only_what_the_configuration_cannot_tell(found):
    listed = {(module, function): count for module, functions in REMAINING.items() for function, (count, _) in functions.items()}
    raised = {(module, function): count for module, counted in found.items() for function, count in counted.items()}
    new = [
        f"{module}, {function}: {raised[module, function]} `raise UserError`, {listed.get((module, function), 0)} listed"
        for module, function in sorted(raised)
        if raised[module, function] != listed.get((module, function))
    ]
    assert not new, "move what the configuration can tell to config_checks.py, list the rest here:\n" + "\n".join(new)
    assert set(listed) <= set(raised), "they are gone; take them out of the table"


def test_raises_are_found_by_the_function_around_them():
    source = "class A:\n    def b(self):\n        if 1:\n            raise UserError('x') from None\n        raise ValueError\n"
    assert list(raises(ast.parse(source))) == ["A.b"]
