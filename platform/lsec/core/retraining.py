"""When the platform retrains: the policy before anybody has set one."""

from lsec.core.ledger import utc_now
from lsec.core.release_ledger import RetrainingPolicy

POLICY_ID = "policy"
DEFAULT_MIN_NEW_SHARE = 0.1


def default_policy() -> RetrainingPolicy:
    """Off, with the bound that is proposed."""
    return RetrainingPolicy(
        id=POLICY_ID,
        is_enabled=False,
        cron="",
        min_new_share=DEFAULT_MIN_NEW_SHARE,
        max_drift=0.0,
        request={},
        updated_by="",
        updated_at=utc_now(),
        fired_at=None,
        checked_at=None,
        verdict={},
    )
