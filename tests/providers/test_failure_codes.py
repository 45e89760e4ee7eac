"""Codes that vendors document -> Reason, without their own tables: gateways pass other vendors' codes on."""

from __future__ import annotations

import pytest

from exporter.client.reasons import reason_of
from exporter.tasks import Reason

CODES = {
    Reason.MODERATION: """
        InputTextRiskDetection InputImageRiskDetection OutputTextRiskDetection OutputImageRiskDetection
        InputTextSensitiveContentDetected InputImageSensitiveContentDetected InputVideoSensitiveContentDetected
        InputAudioSensitiveContentDetected OutputTextSensitiveContentDetected OutputImageSensitiveContentDetected
        OutputVideoSensitiveContentDetected OutputAudioSensitiveContentDetected SensitiveContentDetected.Violence
        InputImageSensitiveContentDetected.PrivacyInformation OutputVideoSensitiveContentDetected.PolicyViolation
        DataInspectionFailed data_inspection_failed IPInfringementSuspect InternalError.Algo.DataInspectionFailed
        MODERATION_POLICY_VIOLATION BLOCKED_WORDS_DETECTED sensitive_words_detected
        content_policy_violation content_moderated moderation_blocked content_filter ResponsibleAIPolicyViolation
        TaskPromptPolicyViolation AuditSubmitIllegal CreationPolicyViolation PhotoAuditNotPass
        SAFETY SAFETY.INPUT.TEXT SAFETY.OUTPUT.VIDEO INPUT_PREPROCESSING.SAFETY.TEXT
        INPUT_PREPROCESSING.SAFETY.THIRD_PARTY
        ImageModerationError CelebrityRecognizedError TextModerationError AudioModerationError
        input_moderation output_moderation new_sensitive IMAGE_SAFETY video_unsafe
        PUBLIC_ERROR_UNSAFE_GENERATION PUBLIC_ERROR_PROMINENT_PEOPLE_FILTER_FAILED PUBLIC_ERROR_AUDIO_FILTERED
        PUBLIC_ERROR_MINOR PUBLIC_ERROR_SEXUAL PUBLIC_ERROR_IP_INPUT_IMAGE sora_content_policy_violation
    """,
    Reason.INSUFFICIENT_BALANCE: """
        AccountOverdueError Arrearage AllocationQuota.FreeTierOnly AccessDenied.Unpurchased insufficient_credit
        insufficient_credits insufficient_balance insufficient_balance_error insufficient_quota CreditInsufficient
        InsufficientCreditsError budget_exhausted quota_not_enough insufficient_user_quota insuficient_user_quota
        billing_hard_limit_reached credits_exhausted token_status_exhausted TokenStatusExhausted
    """,
    Reason.INVALID_INPUT: """
        MissingParameter MissingParameter.model InvalidParameter InvalidParameter.UnsupportedImageFormat
        InvalidParameter.DataInspection InvalidEndpoint.NotFound InvalidEndpointOrModel.NotFound
        InvalidImageURL.EmptyURL InvalidImageURL.InvalidFormat InvalidURL OutofContextError
        validation_error invalid_parameter invalid_request_error invalid_argument INVALID_ARGUMENT NOT_FOUND not_found
        payload_too_large BadRequest FieldLacking FieldInvalid FieldUnwanted FieldItemCountOutOfRange
        ImageDownloadFailure ImageFormatInvalid ImageCheckFaceFailed ImageCheckBodyJointsFailed
        ImageObjectsUndetected PageSizeOutOfRange image_too_large image_load_error file_download_error
        unsupported_format corrupt_input invalid_request ASSET.INVALID ValidationError BadRequestError
        bad_request_error InvalidFileSizeError InvalidFaceError NoFaceDetected MultiFaceDetected duration_too_short
        FailedOperation.ImageDecodeFailed FailedOperation.ImageResolutionExceed
    """,
    Reason.RATE_LIMITED: """
        RateLimitExceeded.EndpointRPMExceeded RateLimitExceeded.EndpointTPMExceeded
        ModelAccountRpmRateLimitExceeded ModelAccountTpmRateLimitExceeded RequestBurstTooFast SetLimitExceeded
        Throttling Throttling.RateQuota Throttling.AllocationQuota rate_limit_exceeded rate_limit_error rate_limited
        TooManyRequests TooManyRequestsError SystemThrottling OperationInProcess RESOURCE_EXHAUSTED
        account_concurrency_exhausted api_agent_queue_full upstream_rate_limited
        PUBLIC_ERROR_USER_REQUESTS_THROTTLED PUBLIC_ERROR_HIGH_TRAFFIC
    """,
    Reason.AUTH: """
        AuthenticationError AccessDenied Model.AccessDenied Workspace.AccessDenied ModelNotOpen InvalidApiKey
        unauthorized forbidden Unauthorized Forbidden resource_access_denied USER_BLOCKED PERMISSION_DENIED
        UNAUTHENTICATED invalid_api_key AuthorizationError authorization_error PermissionError authorized_error
        MODEL_ACCESS_DENIED authentication_error
    """,
    Reason.PROVIDER_INTERNAL: """
        ServerOverloaded ModelLoadingError InternalServiceError InternalError InternalError.Algo INTERNAL
        INTERNAL.BAD_OUTPUT.CODE01 INPUT_PREPROCESSING.INTERNAL THIRD_PARTY.UNAVAILABLE UNAVAILABLE server_error
        overloaded_error internal_server_error downstream_service_error downstream_service_unavailable
        runner_scheduling_failure runner_disconnected runner_connection_refused generation_failed
        video_generation_failed ModelUnavailable InternalServiceFailure InternalServerError task_failed
        torch.OutOfMemoryError OutOfMemoryError RuntimeError get_channel_failed task_channel_disable
        do_request_failed bad_response_status_code no_available_account upstream_error channel_error
    """,
    Reason.TIMEOUT: """
        InternalError.Timeout generation_timeout request_timeout startup_timeout runner_connection_timeout
        DEADLINE_EXCEEDED upstream_timeout provider_timeout PUBLIC_ERROR_VIDEO_GENERATION_TIMED_OUT
        FailedOperation.RequestTimeout
    """,
}


@pytest.mark.parametrize(("code", "reason"), [(code, reason) for reason in CODES for code in CODES[reason].split()])
def test_a_documented_code_is_understood_as_a_code_and_in_a_text(code: str, reason: Reason) -> None:
    assert reason_of(code=code) is reason
    assert reason_of(text=f'{{"error":{{"code":"{code}","message":""}}}}') is reason


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        # What a code says no more of than that the request or the server failed, the text may say.
        ("invalid_request_error", "Your request was rejected by the safety system.", Reason.MODERATION),
        ("invalid_request_error", "Billing hard limit has been reached", Reason.INSUFFICIENT_BALANCE),
        ("server_error", "Too many requests, slow down", Reason.RATE_LIMITED),
        ("task_failed", "The input image may contain real person.", Reason.MODERATION),
        ("InvalidParameter", "image size must be at least 3686400 pixels", Reason.INVALID_INPUT),
        ("upstream_error", "the resolution is too low", Reason.INVALID_INPUT),
        ("invalid_image", "task failed", Reason.INVALID_INPUT),
        ("internal_error", "the prompt is too long", Reason.PROVIDER_INTERNAL),
        # Any other code is believed.
        ("rate_limit_exceeded", "invalid parameter: model", Reason.RATE_LIMITED),
        ("insufficient_quota", "Rate limit reached", Reason.INSUFFICIENT_BALANCE),
        ("content_policy_violation", "invalid request", Reason.MODERATION),
    ],
)
def test_a_code_that_tells_little_leaves_it_to_the_text(code: str, text: str, reason: Reason) -> None:
    assert reason_of(code=code, text=text) is reason
