"""Follow dead letters: an id each, the request that brought it, and when it was corrected and replayed.

Revision: 0002, after 0001.
"""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

letters = sa.table(
    "dead_letters",
    *(sa.column(name) for name in ("id", "epoch", "shard", "entry_id", "position", "request_id")),
)


def upgrade() -> None:
    with op.batch_alter_table("dead_letters") as table:
        table.add_column(sa.Column("id", sa.String(length=32), nullable=True))
        table.add_column(sa.Column("request_id", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("fixed_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=True))
    fill()
    with op.batch_alter_table("dead_letters") as table:
        table.alter_column("id", existing_type=sa.String(length=32), nullable=False)
        table.alter_column("request_id", existing_type=sa.String(length=64), nullable=False)
    op.create_index("ix_dead_letters_id", "dead_letters", ["id"], unique=True)
    op.create_index("ix_dead_letters_replayed_at", "dead_letters", ["replayed_at", "created_at"])


def fill() -> None:
    """Give each row that is there the id that its place in the log has."""
    connection = op.get_bind()
    place = [letters.c[name] for name in ("epoch", "shard", "entry_id", "position")]
    for row in connection.execute(sa.select(*place)).all():
        digest = hashlib.sha256("/".join(map(str, row)).encode()).hexdigest()
        connection.execute(
            sa.update(letters)
            .where(*(column == value for column, value in zip(place, row, strict=True)))
            .values(id=f"dl_{digest[:24]}", request_id="")
        )


def downgrade() -> None:
    op.drop_index("ix_dead_letters_replayed_at", "dead_letters")
    op.drop_index("ix_dead_letters_id", "dead_letters")
    with op.batch_alter_table("dead_letters") as table:
        for name in ("replayed_at", "fixed_at", "request_id", "id"):
            table.drop_column(name)
