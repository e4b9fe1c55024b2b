use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use chrono::TimeDelta;

use super::*;
use crate::config::Settings;

const SECRET: &str = "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_";
const HOUR: Duration = Duration::from_secs(3600);

fn settings() -> AccountSettings {
    Settings::from_variables(&Default::default()).unwrap().accounts
}

fn clock() -> Clock {
    Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap())
}

fn tokens(settings: &AccountSettings, secret: &str, clock: &Clock) -> AccessTokens {
    AccessTokens::new(settings, &SecretString::from(secret), clock.clone()).unwrap()
}

fn user() -> User {
    let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    User {
        id: Uuid::from_u128(7),
        username: "ana".to_owned(),
        role: Role::Analyst,
        token_version: 3,
        disabled_at: None,
        created_by: "test".to_owned(),
        created_at: at,
        updated_at: at,
    }
}

fn issue(tokens: &AccessTokens) -> String {
    tokens.issue(&user(), Some(Uuid::from_u128(9)), HOUR).unwrap().expose_secret().to_owned()
}

/// The token with one part changed by `change`, and its original signature.
fn with_part(token: &str, part: usize, change: impl Fn(&mut Value)) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut json: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&parts[part]).unwrap()).unwrap();
    change(&mut json);
    parts[part] = URL_SAFE_NO_PAD.encode(json.to_string());
    parts.join(".")
}

#[test]
fn a_token_identifies_its_account_until_it_expires() {
    let clock = clock();
    let tokens = tokens(&settings(), SECRET, &clock);
    let token = issue(&tokens);
    let claims = tokens.verify(&token).unwrap();
    assert_eq!((claims.sub, claims.name.as_str(), claims.role), (Uuid::from_u128(7), "ana", Role::Analyst));
    assert_eq!((claims.ver, claims.sid, claims.exp - claims.iat), (3, Some(Uuid::from_u128(9)), 3600));
    clock.advance(HOUR + Duration::from_secs(4));
    assert!(tokens.verify(&token).is_ok(), "the leeway must cover small clock differences");
    clock.advance(Duration::from_secs(1));
    assert_eq!(tokens.verify(&token), Err(CredentialFault::Expired));
}

#[test]
fn a_token_with_another_key_issuer_or_audience_or_from_the_future_is_rejected() {
    let clock = clock();
    let ours = tokens(&settings(), SECRET, &clock);
    let others = [
        tokens(&settings(), "another-32-characters-long-thing!", &clock),
        tokens(&AccountSettings { issuer: "mint".to_owned(), ..settings() }, SECRET, &clock),
        tokens(&AccountSettings { audience: "bank".to_owned(), ..settings() }, SECRET, &clock),
    ];
    for other in &others {
        assert!(ours.verify(&issue(other)).is_err());
        assert!(other.verify(&issue(other)).is_ok());
    }
    let early = clock.clone();
    let late = Clock::manual(early.now() + TimeDelta::seconds(30));
    assert!(ours.verify(&issue(&tokens(&settings(), SECRET, &late))).is_err(), "issued in the future");
}

#[test]
fn a_modified_token_or_one_with_another_algorithm_is_rejected() {
    let ours = tokens(&settings(), SECRET, &clock());
    let token = issue(&ours);
    for algorithm in ["none", "None", "HS384", "HS512", "RS256", "EdDSA", "ES256"] {
        let forged = with_part(&token, 0, |header| header["alg"] = json!(algorithm));
        assert!(ours.verify(&forged).is_err(), "{algorithm}");
        let unsigned = format!("{}.", forged.rsplit_once('.').unwrap().0);
        assert!(ours.verify(&unsigned).is_err(), "{algorithm}");
    }
    assert!(ours.verify(&with_part(&token, 1, |claims| claims["role"] = json!("admin"))).is_err());
    assert!(ours.verify(&with_part(&token, 1, |claims| claims["exp"] = json!(9_999_999_999_i64))).is_err());
    let last = token.chars().next_back().unwrap();
    for garbage in [
        "",
        ".",
        "..",
        "a.b.c",
        "é.é.é",
        &token.replacen("ey", "y", 1),
        token.trim_end_matches(last),
        &"x".repeat(9000),
    ] {
        assert!(ours.verify(garbage).is_err(), "{garbage:.40}");
    }
}

/// A validly signed token with this header and modified claims.
fn signed_with(header: &Header, change: impl Fn(&mut Value)) -> String {
    let good = issue(&tokens(&settings(), SECRET, &clock()));
    let mut claims = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(&good).unwrap();
    change(&mut claims);
    jsonwebtoken::encode(header, &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

#[test]
fn a_token_with_a_critical_extension_is_rejected() {
    let ours = tokens(&settings(), SECRET, &clock());
    assert!(ours.verify(&signed_with(&Header::new(Algorithm::HS256), |_| ())).is_ok());
    for names in [vec!["b64"], vec!["exp"], vec!["http://example.com/unknown", "b64"], vec![]] {
        let crit = Some(names.iter().map(|name| (*name).to_owned()).collect());
        let header = Header { crit, ..Header::new(Algorithm::HS256) };
        assert!(ours.verify(&signed_with(&header, |_| ())).is_err(), "{names:?}");
    }
}

#[test]
fn a_token_whose_critical_extensions_are_null_is_rejected() {
    let ours = tokens(&settings(), SECRET, &clock());
    let good = issue(&ours);
    let payload = good.split('.').nth(1).unwrap();
    for (header, accepted) in [
        (r#"{"typ":"JWT","alg":"HS256"}"#, true),
        (r#"{"typ":"JWT","alg":"HS256","crit":null}"#, false),
        (r#"{"typ":"JWT","alg":"HS256","crit":[]}"#, false),
    ] {
        let message = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header));
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        assert_eq!(ours.verify(&format!("{message}.{signature}")).is_ok(), accepted, "{header}");
    }
}

#[test]
fn any_number_as_a_time_is_handled_without_panicking() {
    let ours = tokens(&settings(), SECRET, &clock());
    let now = clock().now().timestamp();
    let header = Header::new(Algorithm::HS256);
    let extremes =
        [i64::MIN, i64::MIN + 1, -1, 0, 8_210_298_412_799, 8_210_298_412_800, i64::MAX - 1, i64::MAX];
    for time in extremes {
        assert!(
            ours.verify(&signed_with(&header, |claims| claims["exp"] = json!(time))).is_err(),
            "exp {time}"
        );
        assert!(
            ours.verify(&signed_with(&header, |claims| claims["iat"] = json!(time))).is_err(),
            "iat {time}"
        );
        let not_before = ours.verify(&signed_with(&header, |claims| claims["nbf"] = json!(time)));
        assert_eq!(not_before.is_ok(), time <= 0, "nbf {time}");
    }
    for text in [json!(1e300), json!("9999999999"), json!(null), json!([]), json!(u64::MAX)] {
        assert!(ours.verify(&signed_with(&header, |claims| claims["exp"] = text.clone())).is_err(), "{text}");
    }
    for (seconds, accepted) in [(0, true), (5, true), (6, false), (-3600, true)] {
        let token = signed_with(&header, |claims| claims["nbf"] = json!(now + seconds));
        assert_eq!(ours.verify(&token).is_ok(), accepted, "not before {seconds} s from now");
    }
    for (seconds, accepted) in [(24 * 3600, true), (24 * 3600 + 1, false)] {
        let token = signed_with(&header, |claims| claims["exp"] = json!(now + seconds));
        assert_eq!(ours.verify(&token).is_ok(), accepted, "lifetime of {seconds} s");
    }
}

#[test]
fn with_an_ed25519_key_only_tokens_signed_with_it_are_accepted() {
    let clock = clock();
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(document.as_ref());
    write!(file, "-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n").unwrap();
    let with_key = AccountSettings { signing_key_file: file.path().to_owned(), ..settings() };
    let (ed, hs) = (tokens(&with_key, SECRET, &clock), tokens(&settings(), SECRET, &clock));
    let token = issue(&ed);
    assert_eq!(ed.verify(&token).unwrap().name, "ana");
    assert!(hs.verify(&token).is_err() && ed.verify(&issue(&hs)).is_err());

    // Algorithm confusion: the public key used as an HMAC secret.
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document.as_ref()).unwrap();
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(&token).unwrap();
    let key = EncodingKey::from_secret(pair.public_key().as_ref());
    let confused = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    assert!(ed.verify(&confused).is_err());

    std::fs::write(file.path(), "not a key").unwrap();
    let refused = AccessTokens::new(&with_key, &SecretString::from(SECRET), clock);
    assert!(refused.err().unwrap().to_string().contains("accounts.signing_key_file"));
}
