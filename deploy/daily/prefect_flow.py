"""The daily run as a flow of Prefect 3: bring the lake up to date, look for gaps, make yesterday's features on the cluster.

``python prefect_flow.py`` serves it with its schedule. Every task is a command of pointline; another exit code than 0 fails the task.
Connections and secrets come from the environment: POINTLINE_LAKE, POINTLINE_CLUSTER, AWS_….
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess

from prefect import flow, task


@task(retries=2, retry_delay_seconds=1200)
def pointline(*words: str) -> None:
    """Runs a command of pointline.

    Raises:
        subprocess.CalledProcessError: it ended with another exit code than 0.
    """
    subprocess.run(["pointline", *words], check=True)


@flow
def daily() -> None:
    """The steps, one after the other."""
    lake, cluster = os.environ["POINTLINE_LAKE"], os.environ["POINTLINE_CLUSTER"]
    today = dt.datetime.now(dt.UTC).date()
    day = today - dt.timedelta(days=1)
    pointline("update", "-q", "--lake", lake, "--folder", "/srv/archives")
    pointline("catalog", "-q", "--lake", lake, "--fail-on", "gaps,missing,quarantine")
    window = ("--exchange", "binance-futures", "--start", f"{day}", "--end", f"{today}", "--days-per-task", "1")
    bars = ("--bars", "volume", "--threshold", "adaptive:500,trailing_days=7")
    pointline("scale", "compare", "-q", *window, *bars, "--cluster", cluster, "--lake", lake, "--output", f"s3://desk/features/{day}")


if __name__ == "__main__":
    daily.serve(name="pointline-daily", cron="15 7 * * *")
