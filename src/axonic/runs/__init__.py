"""From data on disk to a run directory and back: what the commands do, without the command line, one command a file."""

from axonic.runs.check import check_data
from axonic.runs.compare import compare_rules
from axonic.runs.export import export_run
from axonic.runs.fit import findings_of, fit_table, resume_run
from axonic.runs.page import write_report
from axonic.runs.predict import check_prediction_path, evaluate_table, predict_table, write_predictions
from axonic.runs.request import Reporter, Request

__all__ = [
    "Reporter",
    "Request",
    "check_data",
    "check_prediction_path",
    "compare_rules",
    "evaluate_table",
    "export_run",
    "findings_of",
    "fit_table",
    "predict_table",
    "resume_run",
    "write_predictions",
    "write_report",
]
