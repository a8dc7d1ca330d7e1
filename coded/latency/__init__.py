"""How long requests take when servers are slow at random, and what copies of them cost.

Service-time models, policies that decide which servers get a copy of a request and when, one
simulator for them all, and the closed forms that hold where they are known. Nothing here runs
real work: it tells beforehand what redundancy, hedging or speculation would bring.
"""

from coded.latency.closed_forms import (
    any_slow,
    best_mds_fraction,
    best_mds_threshold,
    c3_score,
    expected_order_statistic,
    hedged_tail,
    late_time_left,
    mds_latency,
    redundancy_latency,
    replication_latency,
)
from coded.latency.cluster import Policy
from coded.latency.policies import (
    C3,
    LATE,
    Hedged,
    LeastOutstanding,
    Redundant,
    Tied,
)
from coded.latency.service_times import Empirical, Exponential, ServiceTime, SlowFast
from coded.latency.simulator import LatencyResult, simulate_latency

__all__ = [
    "C3",
    "LATE",
    "Empirical",
    "Exponential",
    "Hedged",
    "LatencyResult",
    "LeastOutstanding",
    "Policy",
    "Redundant",
    "ServiceTime",
    "SlowFast",
    "Tied",
    "any_slow",
    "best_mds_fraction",
    "best_mds_threshold",
    "c3_score",
    "expected_order_statistic",
    "hedged_tail",
    "late_time_left",
    "mds_latency",
    "redundancy_latency",
    "replication_latency",
    "simulate_latency",
]
