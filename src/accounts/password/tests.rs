use super::*;

const CHEAP: PasswordSettings =
    PasswordSettings { memory_kib: 64, iterations: 1, parallelism: 1, hashers: 1, queue: 1 };

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

#[test]
fn a_minimum_length_is_required_but_no_composition() {
    let account = AccountName::parse("ana.maria.lopez").unwrap();
    for (password, expected) in [
        ("elevenchars", Err(PasswordProblem::TooShort)),
        ("twelve chars", Ok(())),
        ("gaviota roja", Ok(())),
        ("ñandúes dormilones", Ok(())),
        (&"plum-Trak7 ".repeat(11), Ok(())),
        (&"x".repeat(129), Err(PasswordProblem::TooLong)),
        ("Ana.Maria.Lopez", Err(PasswordProblem::IsAccountName)),
        // Eleven characters, one of them sent as two code points.
        ("elevenchare\u{301}", Err(PasswordProblem::TooShort)),
    ] {
        assert_eq!(check(&secret(password), &account), expected, "{password}");
    }
}

#[test]
fn common_passwords_are_rejected_in_every_spelling() {
    let account = AccountName::parse("ana.maria.lopez").unwrap();
    for password in [
        "123456789012",
        "987654321098",
        "password1234",
        "Password@1234",
        "P@ssw0rd2026",
        "passwordpassword",
        "qwertyuiop12",
        "1q2w3e4r5t6y",
        "qazwsxedcrfv",
        "aaaaaaaaaaaa",
        "éééééééééééé",
        "abcabcabcabc",
        "abcdefghijkl",
        "iloveyou1234",
        "letmeinletmein",
        "administrator",
        "Summer2024!!",
        "contraseña123",
        "Contrasena2026",
        "senha12345678",
        "ana.maria.lopez1",
        "aval12345678",
        "bienvenido123",
        "１２３４５６７８９０１２",
    ] {
        assert_eq!(check(&secret(password), &account), Err(PasswordProblem::TooCommon), "{password}");
    }
    assert_eq!(check(&secret(&"x".repeat(128)), &account), Err(PasswordProblem::TooCommon));
}

#[actix_rt::test]
async fn a_hash_is_salted_argon2id_and_matches_only_its_password() {
    let passwords = Passwords::new(&CHEAP, Clock::system()).unwrap();
    let hash = passwords.hash(secret("correct horse")).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
    assert_ne!(hash, passwords.hash(secret("correct horse")).await.unwrap());
    let verify = async |text: &str, hash: Option<&str>| {
        passwords.verify(secret(text), hash.map(str::to_owned)).await.unwrap()
    };
    assert_eq!(verify("correct horse", Some(&hash)).await, Verification::Correct);
    assert_eq!(verify("correct hors", Some(&hash)).await, Verification::Wrong);
    assert_eq!(verify("correct horse", None).await, Verification::Wrong, "an unknown account must not match");
    assert!(passwords.verify(secret("x"), Some("no hash".to_owned())).await.is_err());
}

#[actix_rt::test]
async fn the_same_characters_are_the_same_password() {
    let passwords = Passwords::new(&CHEAP, Clock::system()).unwrap();
    let (composed, decomposed, wide) = ("contraseña ①", "contrasen\u{303}a 1", "ｃｏｎｔｒａｓｅñａ 1");
    let hash = passwords.hash(secret(decomposed)).await.unwrap();
    for form in [composed, decomposed, wide] {
        assert_eq!(
            passwords.verify(secret(form), Some(hash.clone())).await.unwrap(),
            Verification::Correct,
            "{form}"
        );
    }
}

#[actix_rt::test]
async fn a_hash_with_other_costs_is_outdated_and_hash_memory_is_reused() {
    let old = Passwords::new(&PasswordSettings { memory_kib: 32, ..CHEAP }, Clock::system()).unwrap();
    let passwords = Passwords::new(&PasswordSettings { queue: 100, ..CHEAP }, Clock::system()).unwrap();
    let hash = old.hash(secret("correct horse")).await.unwrap();
    assert_eq!(passwords.verify(secret("correct horse"), Some(hash)).await.unwrap(), Verification::Outdated);
    let hashes = (0..50).map(|_| passwords.hash(secret("correct horse")));
    futures_util::future::try_join_all(hashes).await.unwrap();
    assert_eq!(passwords.memory.blocks(), [64], "one hash at a time must need only one buffer");
}

#[actix_rt::test]
async fn a_rejection_costs_as_much_as_the_most_expensive_known_hash() {
    let passwords = Passwords::new(&CHEAP, Clock::system()).unwrap();
    passwords.add_known_costs(&[
        "m=128,t=3,p=1".to_owned(),
        "m=16,t=1,p=1".to_owned(),
        "nonsense".to_owned(),
    ]);
    assert_eq!(passwords.rejection_cost.load(Ordering::Relaxed), 384);
    let older =
        Passwords::new(&PasswordSettings { memory_kib: 256, iterations: 2, ..CHEAP }, Clock::system())
            .unwrap();
    let hash = older.hash(secret("correct horse")).await.unwrap();
    assert_eq!(passwords.verify(secret("wrong horse"), Some(hash)).await.unwrap(), Verification::Wrong);
    assert_eq!(passwords.rejection_cost.load(Ordering::Relaxed), 512);

    let cheaper = Passwords::new(&PasswordSettings { memory_kib: 16, ..CHEAP }, Clock::system()).unwrap();
    let hash = cheaper.hash(secret("correct horse")).await.unwrap();
    let passwords = Passwords::new(&CHEAP, Clock::system()).unwrap();
    assert_eq!(passwords.verify(secret("wrong horse"), Some(hash)).await.unwrap(), Verification::Wrong);
    assert_eq!(passwords.memory.blocks(), [48], "the rest of 64 KiB must be spent on another hash");
}

#[actix_rt::test]
async fn requests_beyond_the_queue_are_rejected_until_a_place_is_free() {
    let passwords = Passwords::new(&CHEAP, Clock::system()).unwrap();
    let held = Arc::clone(&passwords.running).acquire_owned().await.unwrap();
    let mut waiting = std::pin::pin!(passwords.hash(secret("one")));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let mut second = std::pin::pin!(passwords.hash(secret("two")));
    assert!(futures_util::poll!(&mut second).is_pending());
    let third = passwords.hash(secret("three")).await;
    assert!(matches!(third, Err(Error::Overloaded { what: "password hashing", .. })), "{third:?}");
    drop(held);
    waiting.await.unwrap();
    second.await.unwrap();
    passwords.hash(secret("three")).await.unwrap();
}
