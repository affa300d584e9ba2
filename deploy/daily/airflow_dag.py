"""The daily run as a DAG of Airflow 3: bring the lake up to date, look for gaps, make yesterday's features on the cluster.

Copy it into the folder of DAGs. Every task is a command of pointline. A failure ends with its exit code, and its message is in
the log of the task.
Connections and secrets come from the environment of the workers: POINTLINE_LAKE, POINTLINE_CLUSTER, AWS_….
"""

from __future__ import annotations

import datetime as dt

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="pointline_daily",
    schedule="15 7 * * *",  # UTC; the archives of a day are published by then
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,  # update itself goes back to the newest day of the lake
    max_active_runs=1,  # one writer at a time
    default_args={"retries": 2, "retry_delay": dt.timedelta(minutes=20)},
) as dag:
    update = BashOperator(task_id="update", bash_command='pointline update -q --lake "$POINTLINE_LAKE" --folder /srv/archives')
    check = BashOperator(task_id="check", bash_command='pointline catalog -q --lake "$POINTLINE_LAKE" --fail-on gaps,missing,quarantine')
    features = BashOperator(
        task_id="features",
        bash_command=(
            "pointline scale compare -q --exchange binance-futures --start {{ macros.ds_add(ds, -1) }} --end {{ ds }} --days-per-task 1 "
            '--bars volume --threshold adaptive:500,trailing_days=7 --cluster "$POINTLINE_CLUSTER" --lake "$POINTLINE_LAKE" '
            "--output s3://desk/features/{{ macros.ds_add(ds, -1) }}"
        ),
    )
    update >> check >> features
