//! Outbound webhooks: the states of deliveries and attempts, and the algorithms of signatures.

use super::named::named;

named! {
    /// The status of a delivery.
    DeliveryStatus {
        /// An ordered endpoint has an earlier unfinished delivery about the same subject.
        Waiting = "waiting",
        /// Its job is active.
        Pending = "pending",
        Delivered = "delivered",
        /// All attempts failed, or the endpoint answered with 410.
        Dead = "dead",
        /// The endpoint was disabled.
        Skipped = "skipped",
    }
}

impl DeliveryStatus {
    /// Whether the delivery has ended. Only a repetition changes it again.
    pub const fn is_finished(self) -> bool {
        match self {
            Self::Waiting | Self::Pending => false,
            Self::Delivered | Self::Dead | Self::Skipped => true,
        }
    }
}

named! {
    /// The result of one attempt at a delivery.
    AttemptResult {
        /// A response with a status from 200 to 299.
        Delivered = "delivered",
        /// A response with the status 410. The endpoint is disabled.
        Gone = "gone",
        /// A redirect, which is never followed.
        Redirect = "redirect",
        /// A response with any other status.
        Refused = "refused",
        /// No response within the time limit.
        Timeout = "timeout",
        /// The connection or the TLS handshake failed, or the response was malformed.
        Connect = "connect",
        /// The name of the host could not be resolved.
        Unresolved = "unresolved",
        /// The host has an address that is not public.
        ForbiddenAddress = "forbidden_address",
        /// The URL of the endpoint is not allowed, for example because its scheme is `http`.
        ForbiddenUrl = "forbidden_url",
    }
}

named! {
    /// The version of a Standard Webhooks signature.
    Algorithm {
        /// HMAC-SHA256 with a shared secret.
        Hmac = "v1",
        /// Ed25519 with a key pair.
        Ed25519 = "v1a",
    }
}

named! {
    /// Why a webhook endpoint is disabled.
    DisabledReason {
        /// An account disabled it.
        Operator = "operator",
        /// It answered with 410.
        Gone = "gone",
        /// Every attempt of the last days failed.
        Failing = "failing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_parsed_and_serialized_alike() {
        for status in DeliveryStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for result in AttemptResult::ALL {
            assert_eq!(result.as_str().parse(), Ok(*result));
            assert_eq!(serde_json::to_value(result).unwrap(), result.as_str());
        }
        assert!("v2".parse::<Algorithm>().is_err());
        assert!("".parse::<DisabledReason>().is_err());
    }
}
