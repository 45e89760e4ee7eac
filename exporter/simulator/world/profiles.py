"""How tasks usually go at each vendor: how often they come, how long they take, and how they fail.

The failures are the ones that the vendors' documents name, with the reason those documents give or imply. Times and
shares are plausible inventions: no vendor publishes any. `PROFILES` are those of the first vendors; the others have
theirs with their fakes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from uuid import UUID

from exporter.tasks import Reason

Feed = tuple[str, str]  # (provider type, kind)

SORA: Feed = ("deerapi", "sora")
LIP_SYNC: Feed = ("chanjing", "lip_sync")
VIDEO: Feed = ("chanjing", "video")
DIGITAL_HUMAN: Feed = ("huawei_metastudio", "digital_human")
FACE_SWAP: Feed = ("facewap", "face_swap")

Seconds = tuple[float, float]  # the usual range: nearly all of a lognormal distribution lies within


@dataclass(frozen=True, slots=True)
class Failure:
    """One way to fail that a vendor documents: its text, its code where it has one, and what we call it."""

    reason: Reason
    words: str
    code: str = ""
    dated: bool = True  # False: the vendor sets no end time with it
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Profile:
    """The habits of one feed. Shares are fractions of all its tasks; durations are seconds at speed 1."""

    feed: Feed
    per_minute: float  # arrivals
    queue: Seconds | None  # None: the vendor shows no waiting
    run: Seconds
    failures: tuple[Failure, ...]
    new_id: Callable[[Random], str]
    failed: float = 0.12
    cancelled: float = 0.0
    blocked: float = 0.0
    unseen_start: float = 0.0  # share whose start the vendor misses, so that they end straight out of the queue
    output: Callable[[Random], float] | None = None  # seconds of clip; None: the vendor never says
    models: tuple[str, ...] = ()
    cost: Callable[[Random], float] | None = None  # of a success, in the vendor's unit; None: the vendor never says
    failures_cost: bool = False  # whether a failure costs as much

    def documented_failure(self, reason: Reason) -> Failure:
        """The first failure of this reason that the vendor documents. Raises ValueError if it names none."""
        for failure in self.failures:
            if failure.reason is reason:
                return failure
        raise ValueError(f"no document names a failure of {self.feed} by reason {reason}: give words and code")


def hex_id(rng: Random) -> str:
    return f"{rng.getrandbits(128):032x}"


def uuid(rng: Random) -> str:
    return str(UUID(int=rng.getrandbits(128)))


def digits(rng: Random) -> str:
    return str(rng.randrange(10**14, 10**15))  # longer than 32 bits on purpose, as in the vendor's sample


_R = Reason

_SPEECH_FAILURES = (
    ("蝉豆不足扣费失败", _R.INSUFFICIENT_BALANCE),
    ("您需要至少输入1S以上的内容", _R.INVALID_INPUT),
    ("音频中没有人声，请检查是否为单声道", _R.INVALID_INPUT),
    ("不支持的音频格式，仅支持:audio/x-wav,audio/mpeg,audio/m4a,video/mp4", _R.INVALID_INPUT),
    ("上传音频文件失败", _R.PROVIDER_INTERNAL),
)

PROFILES: dict[Feed, Profile] = {
    profile.feed: profile
    for profile in (
        Profile(
            SORA,
            per_minute=4,
            queue=(10, 120),
            run=(60, 300),
            unseen_start=0.08,
            output=lambda rng: float(rng.choice((5, 10, 15, 20))),
            models=("sora-2", "sora-2-pro"),
            new_id=lambda rng: "task_" + "".join(rng.choices("0123456789abcdefghjkmnpqrstvwxyz", k=26)),
            failures=(
                Failure(_R.PROVIDER_INTERNAL, "upstream returned error", weight=3),
                Failure(_R.PROVIDER_INTERNAL, "upstream returned unrecognized message"),
                Failure(_R.PROVIDER_INTERNAL, "task failed", weight=2),
                Failure(_R.PROVIDER_INTERNAL, "获取渠道信息失败，请联系管理员，渠道ID：12"),
                Failure(_R.PROVIDER_INTERNAL, "Failed to get channel info, channel ID: 12"),
                Failure(_R.TIMEOUT, "任务超时（20分钟）", weight=3),
                Failure(_R.TIMEOUT, "任务超时（旧系统遗留任务）"),
                # The upstream's own sentence, passed through.
                Failure(_R.MODERATION, "Your request was blocked by our moderation system.", weight=4),
                # Swept up by the gateway because its upstream id was lost: no reason, and no end time either.
                Failure(_R.UNKNOWN, "", dated=False),
            ),
        ),
        Profile(
            LIP_SYNC,
            per_minute=4,
            queue=(5, 60),
            run=(30, 240),
            output=lambda rng: rng.randrange(5_000, 60_000) / 1000,
            new_id=hex_id,
            failures=(
                *(Failure(reason, words, "30", weight=2) for words, reason in _SPEECH_FAILURES),
                Failure(_R.UNKNOWN, "生成失败", "30"),  # a text that no document lists
            ),
        ),
        Profile(
            VIDEO,
            per_minute=2,
            queue=None,
            run=(60, 600),
            output=lambda rng: float(rng.randrange(10, 120)),
            new_id=hex_id,
            failures=(
                *(
                    Failure(reason, words, "50" if reason is _R.PROVIDER_INTERNAL else "40", weight=2)
                    for words, reason in _SPEECH_FAILURES
                ),
                Failure(_R.PROVIDER_INTERNAL, "上传背景文件失败, 请检查网络", "51"),
                Failure(_R.INVALID_INPUT, "不支持纯数字文本", "42"),
                Failure(_R.INVALID_INPUT, "暂不支持该语种", "44"),
                Failure(_R.INVALID_INPUT, "参数异常", "49"),  # an unlisted text: only the status counts
                Failure(_R.PROVIDER_INTERNAL, "服务异常", "59"),
            ),
        ),
        Profile(
            DIGITAL_HUMAN,
            per_minute=2,
            queue=(10, 300),
            run=(60, 900),
            cancelled=0.03,
            blocked=0.04,
            output=lambda rng: float(rng.randrange(10, 180)),
            models=("2D_DIGITAL_HUMAN_VIDEO", "DIGITAL_HUMAN_PHOTO_VIDEO"),
            new_id=uuid,
            failures=(
                Failure(_R.INVALID_INPUT, "Invalid parameter", "MSS.00000003", weight=2),
                Failure(_R.INVALID_INPUT, "asset_name contains illegal characters", "MSS.20010019"),
                Failure(_R.INVALID_INPUT, "The scene asset is incorrect", "MSS.20010020"),
                Failure(_R.PROVIDER_INTERNAL, "Internal Error", "MSS.00000004", weight=3),
                # The code is made up, and no document has the wording of either.
                Failure(_R.MODERATION, "The script contains sensitive content", "MSS.20019901", weight=2),
                Failure(_R.UNKNOWN, "Task abandoned", "MSS.20019902"),
            ),
        ),
        Profile(
            FACE_SWAP,
            per_minute=3,
            queue=(5, 30),
            run=(20, 180),
            new_id=digits,
            failures=(
                Failure(_R.MODERATION, "new_sensitive", weight=2),
                Failure(_R.UNKNOWN, "unknown error"),
            ),
        ),
    )
}
