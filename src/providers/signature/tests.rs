use proptest::prelude::*;

use super::*;

/// The test vector of the Standard Webhooks specification.
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIMESTAMP: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

const TOLERANCE: Duration = Duration::from_secs(300);

fn key() -> SigningKey {
    SigningKey::new(&STANDARD.decode(SECRET).unwrap())
}

fn other_key() -> SigningKey {
    SigningKey::new(b"another secret of enough bytes")
}

fn standard(list: &str) -> Option<StandardSignature> {
    StandardSignature::parse(ID, &TIMESTAMP.to_string(), list)
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

#[test]
fn the_official_test_vector_is_signed_and_verified() {
    assert_eq!(key().sign(ID, TIMESTAMP, BODY), SIGNED);
    let signature = standard(SIGNED).unwrap();
    assert_eq!(signature.id(), ID);
    assert!(signature.verifies(&key(), BODY));
    assert!(!signature.verifies(&other_key(), BODY));
    assert!(!signature.verifies(&key(), br#"{"test":2432232314}"#), "the signature must cover the raw bytes");
}

#[test]
fn one_valid_signature_at_any_position_of_the_list_is_enough() {
    let other = other_key().sign(ID, TIMESTAMP, BODY);
    for list in [
        format!("{SIGNED} {other}"),
        format!("{other} {SIGNED}"),
        format!("v1a,anything {SIGNED}"),
        format!("v1,### {SIGNED}"),
        format!("{SIGNED} v1,###"),
        format!("v1, {SIGNED} v1"),
        format!("v1,AAAA {SIGNED}"),
        format!("v2_x,abc {SIGNED}"),
        format!("V1,x v1;y no-version , ,, {SIGNED}"),
        format!("  {SIGNED}   {other}  "),
        format!("{SIGNED} {}", "v2,x ".repeat(300)),
        [SIGNED; 40].join(" "),
    ] {
        assert!(standard(&list).unwrap().verifies(&key(), BODY), "{list:.120}");
    }
    for list in [other.clone(), format!("v1,### {other}"), format!("v2_x,abc  {other}")] {
        assert!(!standard(&list).unwrap().verifies(&key(), BODY), "{list}");
    }
}

#[test]
fn timestamps_are_accepted_within_the_tolerance_in_both_directions() {
    let signature = Signature::Standard(standard(SIGNED).unwrap());
    for (seconds, timely) in [(0, true), (300, true), (301, false), (-300, true), (-301, false)] {
        assert_eq!(signature.is_timely(at(TIMESTAMP + seconds), TOLERANCE), timely, "{seconds}");
    }
    let far = StandardSignature::parse(ID, "999999999999999", SIGNED).unwrap();
    assert!(!far.is_timely(at(TIMESTAMP), TOLERANCE));
}

#[test]
fn headers_that_violate_the_scheme_are_rejected() {
    let time = TIMESTAMP.to_string();
    let long_id = "x".repeat(129);
    for (id, timestamp) in [
        ("", time.as_str()),
        ("a.b", &time),
        ("a b", &time),
        ("é", &time),
        (&long_id, &time),
        (ID, ""),
        (ID, "-1"),
        (ID, "+1"),
        (ID, "1.5"),
        (ID, " 1"),
        (ID, "１"),
        (ID, "1000000000000000"),
    ] {
        assert_eq!(StandardSignature::parse(id, timestamp, SIGNED), None, "{id:?} {timestamp:?}");
    }
    for list in [
        "",
        " ",
        "v1",
        "v1,",
        "v1,AAAA",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
        "v1,g0hM9SsE-OTPJTGt_tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1a,anything",
        "v1,### v2_x,abc",
        &format!("{SIGNED},{SIGNED}"),
        &format!("{SIGNED}{SIGNED}"),
        &format!("{SIGNED} {}", "v2,x ".repeat(420)),
    ] {
        assert_eq!(standard(list), None, "{list:.80}");
    }
}

#[test]
fn the_legacy_signature_is_hex_in_either_case_with_or_without_its_prefix() {
    let signed = key().sign_legacy(BODY);
    for text in [signed.clone(), signed.to_uppercase(), format!("sha256={signed}")] {
        let signature = Signature::Legacy(LegacySignature::parse(&text).unwrap());
        assert!(signature.verifies(&key(), BODY) && !signature.verifies(&key(), b"{}"), "{text}");
        assert!(!signature.verifies(&other_key(), BODY));
        assert!(signature.is_timely(at(0), TOLERANCE));
    }
    let short: String = signed.chars().skip(1).collect();
    for text in
        ["", "sha256=", &short, &format!("{signed}0"), &format!("{signed}00"), &format!("sha1={signed}")]
    {
        assert_eq!(LegacySignature::parse(text), None, "{text}");
    }
    assert_eq!(LegacySignature::parse(&"é".repeat(64)), None);
}

#[test]
fn keys_of_every_length_follow_rfc_2104_and_are_masked() {
    let long = [0xaa; 131];
    let body = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let expected = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
    assert_eq!(SigningKey::new(&long).sign_legacy(body), expected, "RFC 4231, test case 6");
    assert_eq!(format!("{:?}", key()), "SigningKey(****)");
}

fn message() -> impl Strategy<Value = (String, i64, Vec<u8>)> {
    ("[A-Za-z0-9_-]{1,64}", 0..=4_000_000_000_i64, proptest::collection::vec(any::<u8>(), 0..200))
}

proptest! {
    #[test]
    fn signatures_verify((id, timestamp, body) in message(), secret in proptest::collection::vec(any::<u8>(), 24..=64)) {
        let key = SigningKey::new(&secret);
        let list = key.sign(&id, timestamp, &body);
        let signature = StandardSignature::parse(&id, &timestamp.to_string(), &list).unwrap();
        prop_assert!(signature.verifies(&key, &body));
        prop_assert!(signature.is_timely(at(timestamp), Duration::ZERO));
        prop_assert!(LegacySignature::parse(&key.sign_legacy(&body)).unwrap().verifies(&key, &body));
    }

    #[test]
    fn any_flipped_bit_fails_verification((id, timestamp, mut body) in message(), bit in any::<prop::sample::Index>()) {
        let (list, legacy) = (key().sign(&id, timestamp, &body), key().sign_legacy(&body));
        let mut signature = StandardSignature::parse(&id, &timestamp.to_string(), &list).unwrap();
        let mac = &mut signature.signatures[0];
        let position = bit.index(MAC_BYTES * 8);
        mac[position / 8] ^= 1 << (position % 8);
        prop_assert!(!signature.verifies(&key(), &body));
        if !body.is_empty() {
            let position = bit.index(body.len() * 8);
            body[position / 8] ^= 1 << (position % 8);
            let signature = StandardSignature::parse(&id, &timestamp.to_string(), &list).unwrap();
            prop_assert!(!signature.verifies(&key(), &body));
            prop_assert!(!LegacySignature::parse(&legacy).unwrap().verifies(&key(), &body));
        }
        let moved = StandardSignature::parse(&id, &(timestamp + 1).to_string(), &list).unwrap();
        prop_assert!(!moved.verifies(&key(), &body), "the timestamp must be signed too");
    }

    /// Fuzzes the header parsers: they never panic, and random headers never verify.
    #[test]
    fn no_header_makes_the_parsers_panic(id in "\\PC{0,140}", timestamp in "\\PC{0,20}", list in "\\PC{0,300}") {
        if let Some(signature) = StandardSignature::parse(&id, &timestamp, &list) {
            prop_assert!(!signature.verifies(&key(), BODY));
        }
        let _ = LegacySignature::parse(&list);
    }

    #[test]
    fn malformed_lists_never_verify(
        entries in proptest::collection::vec("(v1|v2|v1a|V1|)(,|,,|)[A-Za-z0-9+/]{0,44}={0,3}", 0..20),
        gap in "[ ,\t]{1,2}",
    ) {
        if let Some(signature) = standard(&entries.join(&gap)) {
            prop_assert!(signature.signatures.len() <= MAX_LIST_BYTES / 44);
            prop_assert!(!signature.verifies(&key(), BODY));
        }
    }
}
