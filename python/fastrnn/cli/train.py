"""``fastrnn train FILE``: a model from a table, from arrays or from a text, with a report."""

from __future__ import annotations

import argparse
import math
import os
import sys
from typing import Any

import numpy as np

from .._file_writing import check_path
from ..callbacks import EarlyStopping
from ..config import set_random_seed
from ..optimizers import Adam
from ._console import at_least_1, number_over_0, share
from ._examples import guess_task, open_source
from ._problems import CELLS, Problem, make_problem
from ._recipe import KEY, TASKS, add_reading
from ._report import Result, write_report
from ._unfinished import Unfinished
from .demo import TimeLimit

HELP = "train a model on a CSV table, on arrays or on a text"
DESCRIPTION = (
    "Train a recurrent model. A CSV file (.csv, .tsv) has its columns' names in the first line. With --sequence ID its "
    "rows are steps, and column ID tells of which sequence; --target is then the label of the whole sequence. Without, "
    "a forecast (--window) reads rows as the steps of one series, and a classification or regression each row as a "
    "sequence whose columns are its steps. An .npz file has arrays x (N, T, I) and y, and lengths (N,) if they differ; "
    "for a forecast x (T, I). A text (.txt) is learned character by character, or word by word. The model is saved "
    "with how it reads data, for fastrnn predict, and a folder with a report is written beside it. While it trains, a "
    "folder with checkpoints is there too: after a crash or Ctrl-C the same command with --resume goes on."
)
EXAMPLES = """examples:
  fastrnn train gestures.csv --sequence recording --target gesture
  fastrnn train weather.csv --target temperature --window 48 --horizon 24
  fastrnn train digits.npz --cell gru --units 128 --epochs 30
  fastrnn train messung.csv --target Wert --decimal , --encoding cp1252 --missing previous --order Datum
  fastrnn train poems.txt --seconds 120 --out poet.npz
  fastrnn train poems.txt --out poet.npz --resume      goes on with a run that was killed
  fastrnn predict model.npz new.csv                    afterwards

exit status: 0, 2 if the data cannot be used, 130 if interrupted (no model is saved, --resume goes on)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("file", metavar="FILE", help=".csv, .tsv, .npz, or a text: .txt, .text, .md")
    data = parser.add_argument_group("data")
    data.add_argument("--task", choices=TASKS, help="default: guessed from the data, and told")
    data.add_argument("--target", metavar="COLUMN", help="what is to be predicted; of an .npz y")
    data.add_argument("--features", metavar="A,B,...", help="what is read; default: all other columns of numbers; x")
    data.add_argument("--sequence", metavar="COLUMN", help="which tells of which sequence a row is a step")
    data.add_argument("--window", type=at_least_1, metavar="STEPS", help="that a forecast reads; default: 48")
    data.add_argument("--horizon", type=at_least_1, metavar="STEPS", help="that it gives; default: 1")
    add_reading(data, missing="error", decimal=".", encoding="utf-8")
    data.add_argument("--order", metavar="COLUMN",
                      help="of dates or numbers, which sorts the steps; default: the order of the rows")  # fmt: skip
    data.add_argument("--words", action="store_true", help="learn a text by words, not characters")
    data.add_argument("--validation", type=share, default=0.2, metavar="SHARE",
                      help="of the examples (of a series its end) that is judged on; default: %(default)s")  # fmt: skip
    model = parser.add_argument_group("model")
    model.add_argument("--cell", choices=CELLS, default="lstm", help="default: %(default)s")
    model.add_argument("--units", type=at_least_1, default=64, help="of each layer; default: %(default)s")
    model.add_argument("--layers", type=at_least_1, default=1, help="default: %(default)s")
    model.add_argument("--bidirectional", action="store_true", help="read sequences from both ends")
    model.add_argument("--dropout", type=float, default=0.0, metavar="SHARE", help="default: %(default)s")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=at_least_1, default=100, help="at most; default: %(default)s")
    training.add_argument("--patience", type=at_least_1, default=10, metavar="EPOCHS",
                          help="without a better loss, after which it stops; default: %(default)s")  # fmt: skip
    training.add_argument("--seconds", type=number_over_0, help="stop after so long")
    training.add_argument("--batch-size", type=at_least_1, default=32, help="default: %(default)s")
    training.add_argument("--learning-rate", type=number_over_0, default=0.003, help="default: %(default)s")
    training.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same model; default: %(default)s"
    )
    training.add_argument("--out", default="model.npz", metavar="FILE", help="the model; default: %(default)s")
    training.add_argument("--report", metavar="FOLDER", help="default: the model's name and -report")
    training.add_argument("--force", action="store_true", help="replace the model, or a run not finished")
    training.add_argument(
        "--resume", action="store_true", help="go on with a run that was killed or interrupted, to the same model"
    )
    training.add_argument("--quiet", action="store_true", help="show no progress")


def command(options: dict[str, Any]) -> int:
    """Train, save, report; return the exit status."""
    out = options["out"]
    check_path(out, "--out")
    os.stat(options["file"])  # before anything else is said of it
    unfinished = Unfinished(options)
    if os.path.exists(out) and not options["force"]:
        if not options["resume"]:
            raise ValueError(f"{out}: it is there already; --force replaces it, --out chooses another name")
        if not unfinished.checkpoints.files():  # else it was killed while it wrote the report
            raise ValueError(f"--resume: the run is over, its model is {out}; another is begun by another --out")
    source = open_source(options["file"], options["delimiter"], options["decimal"], options["encoding"])
    task = options["task"]
    if task is None:
        task, why = guess_task(source, options["target"], options["window"], options["sequence"])
        print(f"Task: {task}, as {why}; --task chooses another.")
    newest = unfinished.check()
    if newest is not None:
        print(f"Resumed from {newest}.")
    set_random_seed(options["seed"])
    problem = make_problem(source, task, options)
    model = problem.model
    model.metadata[KEY] = problem.recipe.as_config()
    print(*problem.about, sep="\n")
    print(f"Model: {model.count_params():,} parameters, seed {options['seed']}.", flush=True)
    history, took = _fit(problem, options, unfinished)
    model.save(out, include_optimizer=False)
    if not options["quiet"]:
        print("Judging the model, and drawing the report.", flush=True)
    prediction = np.asarray(model.predict(problem.x_test, batch_size=256, verbose=0))
    result = Result(
        options["file"], out, problem.recipe, model, history, took, problem.about, prediction, problem.y_test,
        problem.names_test,
    )  # fmt: skip
    folder = options["report"] or os.path.splitext(out)[0] + "-report"
    for line in write_report(result, folder):
        print(line)
    unfinished.remove()
    print(f"Saved {out}, and a report in {folder}")
    what = "--prompt TEXT" if task == "text" else "NEW-DATA"
    print(f"What to do next:\n  fastrnn predict {out} {what}\n  fastrnn inspect {out}")
    return 0


def _fit(problem: Problem, options: dict[str, Any], unfinished: Unfinished) -> tuple[dict[str, list[float]], float]:
    classes = problem.recipe.task in ("classification", "text")
    loss, metrics = ("sparse_categorical_crossentropy", ["accuracy"]) if classes else ("mse", ["mae"])
    problem.model.compile(Adam(options["learning_rate"], global_clipnorm=1.0), loss, metrics)
    stopping = EarlyStopping("val_loss", patience=options["patience"], restore_best_weights=True)
    clock = TimeLimit(math.inf if options["seconds"] is None else options["seconds"])
    unfinished.begin()
    try:
        history = problem.model.fit(
            problem.x, problem.y, batch_size=options["batch_size"], epochs=options["epochs"],
            validation_data=(problem.x_test, problem.y_test), verbose=0 if options["quiet"] else 1,
            callbacks=[stopping, clock], resume=unfinished.checkpoints,
        )  # fmt: skip
    except KeyboardInterrupt:
        if (hint := unfinished.interrupted()) is not None:
            print(hint, file=sys.stderr)
        raise
    return dict(history.history), clock.spent
