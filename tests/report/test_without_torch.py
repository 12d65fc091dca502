import subprocess
import sys


def test_score_and_report_do_not_need_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import probunet.score.run, probunet.score.table, probunet.report.build"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
