use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;

const KEY: &str = "6rxMyVLkMlGuz2yI3CoZ2G4rJ8Kxyq2gk8cW3M1tQJc=";
const OTHER_KEY: &str = "q0c7d8i2w5zB1nXl3eVt9yUoHkGfSaPm4rT6jLqZbNs=";
const WEBHOOK: &str = "whsec_kT8w2Zr5Vx1Qm9Lc4Yb7Nf3Hj6Ds0GaP";
const THIRD_KEY: &str = "Ht5qWv8Zr2Xk9Nm4Bc7Lp1Jd6Fg3Ys0Qa8Rw5Tz2UeE=";
const JWT: &str = "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_";

fn section(values: [&str; 4]) -> SecretsSection {
    let [jwt, encryption, index, webhook] = values.map(SecretString::from);
    SecretsSection { jwt, encryption, index, webhook, webhooks: PerCountry::default() }
}

fn refusal(values: [&str; 4]) -> String {
    section(values).validate(Environment::Production).expect_err("must be refused").to_string()
}

#[test]
fn production_refuses_a_missing_a_short_and_a_well_known_secret_by_name() {
    assert!(section([JWT, KEY, OTHER_KEY, WEBHOOK]).validate(Environment::Production).is_ok());
    assert!(refusal(["", KEY, OTHER_KEY, WEBHOOK]).contains("JWT_SECRET"));
    assert!(refusal([JWT, "", OTHER_KEY, WEBHOOK]).contains("ENCRYPTION_KEY"));
    assert!(refusal([JWT, KEY, "", WEBHOOK]).contains("INDEX_KEY"));
    assert!(refusal([JWT, KEY, OTHER_KEY, ""]).contains("secrets.webhooks.es"));
    assert!(refusal([JWT.strip_prefix('v').unwrap(), KEY, OTHER_KEY, WEBHOOK]).contains("32 characters"));
    for known in [
        "change-me-please-0123456789abcdefghij",
        &"ab".repeat(20),
        "0123456789abcdef0123456789abcdef",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "qwertyuiopasdfghjklzxcvbnm0123456789",
    ] {
        assert!(refusal([known, KEY, OTHER_KEY, WEBHOOK]).contains("guessed"), "{known}");
    }
    let zeros = BASE64.encode([0_u8; 32]);
    let short = BASE64.encode([7_u8; 31]);
    let counting = BASE64.encode((0..32).collect::<Vec<u8>>());
    let typed = BASE64.encode("correct horse battery staple 42!");
    for bad in [zeros.as_str(), short.as_str(), counting.as_str(), typed.as_str(), "not base64!"] {
        assert!(refusal([JWT, bad, OTHER_KEY, WEBHOOK]).contains("ENCRYPTION_KEY"), "{bad}");
        assert!(refusal([JWT, KEY, bad, WEBHOOK]).contains("INDEX_KEY"), "{bad}");
    }
    assert!(refusal([JWT, &format!("{KEY},{KEY}"), OTHER_KEY, WEBHOOK]).contains("twice"));
    assert!(refusal([JWT, KEY, KEY, WEBHOOK]).contains("INDEX_KEY"));
    for known in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ","] {
        assert!(refusal([JWT, KEY, OTHER_KEY, known]).contains("not published"), "{known}");
    }
    let zeros = format!("whsec_{}", BASE64.encode([0_u8; 32]));
    let counting = format!("whsec_{counting}");
    let typed = format!("whsec_{}", BASE64.encode("my-secret-of-32-characters-0815!"));
    for bad in ["whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &zeros, &counting, &typed] {
        assert!(refusal([JWT, KEY, OTHER_KEY, bad]).contains("whsec_"), "{bad}");
    }
}

#[test]
fn a_weak_key_may_follow_a_strong_one_to_decrypt_old_data() {
    let counting = BASE64.encode((0..32).collect::<Vec<u8>>());
    let behind = section([JWT, &format!("{KEY},{counting}"), OTHER_KEY, WEBHOOK]);
    assert!(behind.validate(Environment::Production).is_ok());
    assert!(refusal([JWT, &format!("{counting},{KEY}"), OTHER_KEY, WEBHOOK]).contains("reencrypt"));
    // This does not apply to webhook secrets: anyone who guesses a secret that is still accepted can forge webhooks.
    let weak = format!("{WEBHOOK},whsec_{counting}");
    assert!(refusal([JWT, KEY, OTHER_KEY, &weak]).contains("whsec_"));
}

#[test]
fn a_refusal_and_a_debug_output_never_repeat_a_secret() {
    let bad = "a-key-that-is-no-base64-but-precious";
    assert!(!refusal([JWT, bad, OTHER_KEY, WEBHOOK]).contains(bad));
    let section = section([JWT, KEY, OTHER_KEY, WEBHOOK]);
    let secrets = section.parse().unwrap();
    let printed = format!("{section:?} {secrets:?}");
    for secret in [JWT, KEY, OTHER_KEY, WEBHOOK] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn the_first_key_encrypts_and_a_country_may_have_its_own_secrets() {
    let mut section = section([JWT, &format!("{OTHER_KEY}, {KEY}"), THIRD_KEY, WEBHOOK]);
    section.webhooks.set(Country::Mx, SecretString::from(format!("whsec_{KEY},{WEBHOOK}")));
    let secrets = section.parse().unwrap();
    assert_eq!(BASE64.encode(secrets.sealing[0].expose()), OTHER_KEY);
    assert_eq!(secrets.sealing.len(), 2);
    assert_eq!(secrets.webhooks(Country::Mx).len(), 2);
    assert_eq!(secrets.webhooks(Country::Es).len(), 1);
}

#[test]
fn development_generates_missing_secrets_once_in_a_private_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let complete = |values| {
        Secrets::complete(&section(values), Environment::Development, &data_dir, &Clock::system()).unwrap()
    };
    let first = complete([""; 4]);
    let second = complete(["", KEY, "", ""]);
    assert_eq!(first.jwt.expose_secret(), second.jwt.expose_secret());
    assert_eq!(BASE64.encode(second.sealing[0].expose()), KEY, "configured secrets take precedence");
    let file = data_dir.join("secrets.toml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(&data_dir).unwrap().count(), 1, "no temporary file remains");

    let fewer_countries = std::fs::read_to_string(&file).unwrap() + "[webhooks]\nes = \"\"\n";
    std::fs::write(&file, fewer_countries).unwrap();
    assert_eq!(complete([""; 4]).jwt.expose_secret(), first.jwt.expose_secret());

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = Secrets::complete(&section([""; 4]), Environment::Development, &data_dir, &Clock::system());
    assert!(open.unwrap_err().to_string().contains("0600"));
}
