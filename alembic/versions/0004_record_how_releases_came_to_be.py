"""Record how releases came to be and what becomes of them: gates, snapshots, experiments, retraining.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("trainings") as table:
        for column in training_columns():
            table.add_column(column)
    op.create_index("ix_trainings_scope_key", "trainings", ["scope_key"])
    # At most one of each scope runs at a time.
    op.create_index(
        "ix_trainings_running_scope",
        "trainings",
        ["scope_key"],
        unique=True,
        sqlite_where=sa.text("status = 'running' AND scope_key <> ''"),
        postgresql_where=sa.text("status = 'running' AND scope_key <> ''"),
    )
    with op.batch_alter_table("releases") as table:
        for column in release_columns():
            table.add_column(column)
    _create_snapshots()
    _create_experiments()
    _create_policy_and_inspections()


def training_columns() -> list[sa.Column]:
    return [
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("scope_key", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("queue", sa.String(length=32), nullable=False, server_default=""),
        sa.Column("worker", sa.String(length=200), nullable=False, server_default=""),
        sa.Column("snapshot_id", sa.String(length=32), nullable=True),
    ]


def release_columns() -> list[sa.Column]:
    return [
        sa.Column("seed", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("hyperparameters", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("scope", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("code_version", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("gate", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("requested_by", sa.String(length=32), nullable=False, server_default=""),
        sa.Column("is_kept", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("promotion_asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("promotion_replaces", sa.String(length=32), nullable=False, server_default=""),
        sa.Column("promotion_is_rollback", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("promotion_error", sa.Text(), nullable=True),
    ]


def _create_snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("training_id", sa.String(length=32), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("percent", sa.Float(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("scope", sa.JSON(), nullable=False),
        sa.Column("positions", sa.JSON(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("num_claims", sa.Integer(), nullable=False),
        sa.Column("is_kept", sa.Boolean(), nullable=False),
        sa.Column("requested_by", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_snapshots_training_id", "snapshots", ["training_id"])


def _create_experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("champion_id", sa.String(length=32), nullable=False),
        sa.Column("challenger_id", sa.String(length=32), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("window_s", sa.Integer(), nullable=False),
        sa.Column("guards", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("started_by", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_experiments_status", "experiments", ["status"])
    # At most one runs at a time.
    op.create_index(
        "ix_experiments_running",
        "experiments",
        ["status"],
        unique=True,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )


def _create_policy_and_inspections() -> None:
    op.create_table(
        "retraining_policy",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("cron", sa.String(length=64), nullable=False),
        sa.Column("min_new_share", sa.Float(), nullable=False),
        sa.Column("max_drift", sa.Float(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("updated_by", sa.String(length=32), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verdict", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "inspections",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    for table_name in ("inspections", "retraining_policy", "experiments", "snapshots"):
        op.drop_table(table_name)
    op.drop_index("ix_trainings_running_scope", "trainings")
    op.drop_index("ix_trainings_scope_key", "trainings")
    for table_name, columns in (("releases", release_columns()), ("trainings", training_columns())):
        with op.batch_alter_table(table_name) as table:
            for column in reversed(columns):
                table.drop_column(column.name)
