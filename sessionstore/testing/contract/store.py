"""The whole contract in one class, which is what a binding derives from."""

from sessionstore.testing.contract.callbacks import CallbacksContract
from sessionstore.testing.contract.capacity import CapacityContract
from sessionstore.testing.contract.concurrency import ConcurrencyContract
from sessionstore.testing.contract.copies import CopiesContract
from sessionstore.testing.contract.counting import CountingContract
from sessionstore.testing.contract.creation import CreationContract
from sessionstore.testing.contract.damage import DamageContract
from sessionstore.testing.contract.ends import EndsContract
from sessionstore.testing.contract.errors import ErrorsContract
from sessionstore.testing.contract.every_process import EveryProcessContract
from sessionstore.testing.contract.fencing import FencingContract
from sessionstore.testing.contract.following import FollowingContract
from sessionstore.testing.contract.group import ContractGroup
from sessionstore.testing.contract.held_calls import HeldCallsContract
from sessionstore.testing.contract.interrupted import InterruptedContract
from sessionstore.testing.contract.ledger import LedgerContract
from sessionstore.testing.contract.lifecycle import LifecycleContract
from sessionstore.testing.contract.listing import ListingContract
from sessionstore.testing.contract.locking import LockingContract
from sessionstore.testing.contract.metrics import MetricsContract
from sessionstore.testing.contract.models import ModelsContract
from sessionstore.testing.contract.overview import OverviewContract
from sessionstore.testing.contract.paid_calls import PaidCallsContract
from sessionstore.testing.contract.purchases import PurchasesContract
from sessionstore.testing.contract.putting_back import PuttingBackContract
from sessionstore.testing.contract.recovery import RecoveryContract
from sessionstore.testing.contract.refusals import RefusalsContract
from sessionstore.testing.contract.reports import ReportsContract
from sessionstore.testing.contract.retention import RetentionContract
from sessionstore.testing.contract.runs import RunsContract
from sessionstore.testing.contract.scenes import ScenesContract
from sessionstore.testing.contract.sessions import SessionsContract
from sessionstore.testing.contract.settings import SettingsContract
from sessionstore.testing.contract.sparing import SparingContract
from sessionstore.testing.contract.statistics import StatisticsContract
from sessionstore.testing.contract.timelines import TimelinesContract
from sessionstore.testing.contract.times import TimesContract
from sessionstore.testing.contract.tombstones import TombstonesContract
from sessionstore.testing.contract.tracking import TrackingContract
from sessionstore.testing.contract.transactions import TransactionsContract
from sessionstore.testing.contract.updates import UpdatesContract
from sessionstore.testing.contract.windows import WindowsContract


class StoreContract(
    CreationContract,
    SessionsContract,
    ScenesContract,
    LockingContract,
    UpdatesContract,
    TransactionsContract,
    ConcurrencyContract,
    CallbacksContract,
    RetentionContract,
    CapacityContract,
    TombstonesContract,
    ListingContract,
    OverviewContract,
    StatisticsContract,
    MetricsContract,
    RecoveryContract,
    DamageContract,
    ModelsContract,
    TimesContract,
    RefusalsContract,
    ErrorsContract,
    SettingsContract,
    TrackingContract,
    FencingContract,
    RunsContract,
    EndsContract,
    InterruptedContract,
    PuttingBackContract,
    LedgerContract,
    PurchasesContract,
    PaidCallsContract,
    HeldCallsContract,
    SparingContract,
    FollowingContract,
    EveryProcessContract,
    LifecycleContract,
    CopiesContract,
    ReportsContract,
    WindowsContract,
    TimelinesContract,
    CountingContract,
    ContractGroup,
):
    """Every promise of the store."""

    def test_no_group_hides_a_test_of_another(self) -> None:
        groups = [group for group in StoreContract.__mro__ if group is not StoreContract]
        names = [name for group in groups for name in vars(group) if name.startswith("test_")]

        assert sorted(name for name in set(names) if names.count(name) > 1) == []
