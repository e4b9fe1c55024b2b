use super::*;
use crate::domain::application::Country;
use crate::domain::disbursement::rail::Rail;

fn load(pairs: &[(&str, &str)]) -> Result<Settings> {
    Settings::from_variables(&pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
}

fn refusal(pairs: &[(&str, &str)]) -> String {
    load(pairs).expect_err("must be refused").to_string()
}

/// Loads a valid production configuration that uses simulators, with `pairs` on top.
fn load_production(pairs: &[(&str, &str)]) -> Result<Settings> {
    let simulators: Vec<String> =
        Country::ALL.iter().map(|country| format!("AVAL__PROVIDERS__{country}__SIMULATOR")).collect();
    let mut all = vec![
        ("AVAL_ENV", "production"),
        ("JWT_SECRET", "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_"),
        ("ENCRYPTION_KEY", "6rxMyVLkMlGuz2yI3CoZ2G4rJ8Kxyq2gk8cW3M1tQJc="),
        ("INDEX_KEY", "q0c7d8i2w5zB1nXl3eVt9yUoHkGfSaPm4rT6jLqZbNs="),
        ("WEBHOOK_SECRET", "whsec_kT8w2Zr5Vx1Qm9Lc4Yb7Nf3Hj6Ds0GaP"),
        ("DATABASE_URL", "host=localhost"),
    ];
    all.extend(simulators.iter().map(|key| (key.as_str(), "true")));
    all.extend(pairs);
    load(&all)
}

#[test]
fn the_defaults_are_complete_and_valid() {
    let settings = load(&[]).unwrap();
    assert_eq!(settings.server.port, 8000);
    assert!(settings.faults.injection, "development has fault injection");
    assert!(settings.database.url.is_empty());
}

#[test]
fn a_pool_without_connections_is_rejected() {
    assert!(refusal(&[("AVAL__DATABASE__POOL_SIZE", "0")]).contains("database.pool_size"));
}

#[test]
fn the_default_pool_holds_the_full_bulkhead_of_every_country() {
    let settings = load(&[("AVAL__PROVIDERS__MX__CALL__MAX_QUEUED", "1000")]).unwrap();
    let bulkheads = Country::ALL.map(|country| {
        let call = settings.providers.of(country).call;
        call.max_in_flight + call.max_queued
    });
    assert_eq!(u32::try_from(settings.slots()).unwrap(), bulkheads.iter().sum::<u32>());
    assert_eq!(load(&[("AVAL__ACTORS__APPLICATIONS__POOL_SIZE", "7")]).unwrap().slots(), 7);
}

#[test]
fn no_file_has_to_name_a_country() {
    let tables = |text: &str| text.parse::<toml::Table>().unwrap();
    let (default, development) = (tables(load::DEFAULT_TOML), tables(Environment::Development.built_in()));
    let keys = |table: &toml::Table| table.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(default["providers"].as_table().unwrap()), ["defaults"]);
    assert!(default["secrets"]["webhooks"].as_table().unwrap().is_empty());
    assert!(default["webhooks"]["legacy"].as_table().unwrap().is_empty());
    assert_eq!(keys(development["webhooks"].as_table().unwrap()), ["legacy_by_default"]);
    let legacy = load(&[("AVAL__WEBHOOKS__LEGACY__PT", "false")]).unwrap().webhooks;
    assert!(legacy.legacy(Country::Es) && !legacy.legacy(Country::Pt));
}

#[test]
fn variables_override_files_and_short_names_override_long_ones() {
    let settings = load(&[
        ("AVAL__SERVER__PORT", "9000"),
        ("AVAL__ACTORS__APPLICATIONS__POOL_SIZE", "7"),
        ("LOG_LEVEL", "debug"),
        ("DATABASE_URL", "postgres://localhost/aval"),
    ])
    .unwrap();
    assert_eq!((settings.server.port, settings.actors.applications.pool_size), (9000, 7));
    assert_eq!(load(&[("AVAL__SERVER__PORT", "9000"), ("PORT", "9001")]).unwrap().server.port, 9001);
    assert_eq!(settings.database.url, "postgres://localhost/aval");
    assert_eq!(settings.log.level, LogLevel::Debug);
}

#[test]
fn the_test_environment_has_the_rules_of_development_without_limits_and_durability() {
    let settings = load(&[("AVAL_ENV", "test")]).unwrap();
    assert_eq!(settings.environment, Environment::Test);
    assert!(!settings.limits.enabled && !settings.embedded.durable && settings.faults.injection);
    assert!(load(&[]).unwrap().embedded.durable);
}

#[test]
fn the_prefix_of_the_api_cannot_be_changed() {
    for prefix in ["api/v1", "/api/v1/"] {
        assert!(load(&[("API_PREFIX", prefix)]).is_ok(), "{prefix}");
    }
    assert!(refusal(&[("API_PREFIX", "v2")]).contains("API_PREFIX"));
}

#[test]
fn a_secret_may_come_from_a_file_but_not_from_two_places() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "postgres://localhost/from_file\n").unwrap();
    let path = file.path().to_str().unwrap();
    let settings = load(&[("DATABASE_URL_FILE", path)]).unwrap();
    assert_eq!(settings.database.url, "postgres://localhost/from_file");
    assert!(refusal(&[("DATABASE_URL_FILE", path), ("DATABASE_URL", "x")]).contains("both"));
    assert!(refusal(&[("JWT_SECRET_FILE", "/nonexistent")]).contains("JWT_SECRET_FILE"));
}

#[test]
fn an_unknown_key_or_an_invalid_value_is_rejected_by_name() {
    assert!(refusal(&[("AVAL__SERVER__PROT", "1")]).contains("prot"));
    assert!(refusal(&[("AVAL__SERVER__PORT", "many")]).contains("port"));
    assert!(refusal(&[("AVAL__PROVIDERS__ES__BASE_ULR", "http://x")]).contains("base_ulr"));
    assert!(refusal(&[("AVAL__PROVIDERS__DEFAULTS__CALL__RETRYS", "1")]).contains("retrys"));
    assert!(refusal(&[("AVAL_ENV", "staging")]).contains("staging"));
    assert!(refusal(&[("AVAL__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,here")]).contains("trusted_proxies"));
    assert!(refusal(&[("AVAL__SERVER__TLS__CERTIFICATE_FILE", "a.pem")]).contains("private_key_file"));
    assert!(refusal(&[("AVAL__CORS__ALLOWED_ORIGINS", "*")]).contains("cors.allowed_origins"));
    assert!(refusal(&[("AVAL__LIMITS__CREATE__USER__BURST", "0")]).contains("burst"));
    assert!(refusal(&[("AVAL__LIMITS__LOGIN__USER__BURST", "10000")]).contains("limits.login"));
    assert!(refusal(&[("AVAL__JOBS__HEARTBEAT_MS", "30000")]).contains("jobs.heartbeat_ms"));
    assert!(refusal(&[("AVAL__PROVIDERS__ES__BREAKER__MIN_CALLS", "0")]).contains("min_calls"));
    assert!(refusal(&[("AVAL__DATABASE__POOL_SIZE", "3")]).contains("pool_size"));
    assert!(refusal(&[("AVAL__WEBHOOKS__RETENTION_DAYS", "29")]).contains("webhooks.retention_days"));
    assert!(refusal(&[("AVAL__HOUSEKEEPING__ARCHIVE__CRON", "daily")]).contains("housekeeping.archive.cron"));
    assert!(refusal(&[("AVAL__HOUSEKEEPING__ARCHIVE__MISSED", "panic")]).contains("panic"));
    assert!(refusal(&[("AVAL__HOUSEKEEPING__TIME_ZONE", "Atlantis")]).contains("housekeeping.time_zone"));
    assert!(refusal(&[("AVAL__JOBS__HISTORY_RETENTION_DAYS", "6")]).contains("jobs.history_retention_days"));
    assert!(refusal(&[("AVAL__ARCHIVE__AFTER_MONTHS", "0")]).contains("archive.after_months"));
    assert!(refusal(&[("AVAL_CONFIG_DIR", "/nonexistent")]).contains("AVAL_CONFIG_DIR"));
}

#[test]
fn production_requires_a_bureau_or_an_explicit_simulator_for_every_country() {
    let without_secrets = [("AVAL_ENV", "production"), ("DATABASE_URL", "host=localhost")];
    assert!(refusal(&without_secrets).contains("JWT_SECRET"));
    let mut pairs: Vec<(String, &str)> = vec![
        ("AVAL_ENV".into(), "production"),
        ("JWT_SECRET".into(), "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_"),
        ("ENCRYPTION_KEY".into(), "6rxMyVLkMlGuz2yI3CoZ2G4rJ8Kxyq2gk8cW3M1tQJc="),
        ("INDEX_KEY".into(), "q0c7d8i2w5zB1nXl3eVt9yUoHkGfSaPm4rT6jLqZbNs="),
        ("WEBHOOK_SECRET".into(), "whsec_kT8w2Zr5Vx1Qm9Lc4Yb7Nf3Hj6Ds0GaP"),
        ("DATABASE_URL".into(), "host=localhost"),
    ];
    for country in Country::ALL.into_iter().filter(|country| *country != Country::Br) {
        pairs.push((format!("AVAL__PROVIDERS__{country}__SIMULATOR"), "true"));
    }
    pairs.push(("AVAL__PROVIDERS__BR__BASE_URL".into(), "https://bureau.example"));
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let settings = load(&pairs).unwrap();
    for rail in Rail::ALL {
        assert!(
            !settings.disbursements.is_available(*rail, settings.environment),
            "{rail:?} is not simulated"
        );
    }
    let without = |key: &str| pairs.iter().filter(|(k, _)| *k != key).copied().collect::<Vec<_>>();
    assert!(refusal(&without("AVAL__PROVIDERS__ES__SIMULATOR")).contains("providers.es"));
    let mut with_rails = pairs.clone();
    with_rails.push(("AVAL__DISBURSEMENTS__RAILS__PIX", "https://rail.example"));
    let disbursements = load(&with_rails).unwrap().disbursements;
    assert!(disbursements.is_available(Rail::Pix, Environment::Production));
    assert!(!disbursements.is_available(Rail::Spei, Environment::Production));
    assert!(disbursements.is_available(Rail::Spei, Environment::Development));
    with_rails.push(("AVAL__DISBURSEMENTS__RAILS__SPEI", "http://rail.example"));
    assert!(refusal(&with_rails).contains("disbursements.rails.spei"));
    with_rails.pop();
    with_rails.push(("AVAL__DISBURSEMENTS__SIMULATOR", "true"));
    assert!(load(&with_rails).unwrap().disbursements.is_available(Rail::Spei, Environment::Production));
    let mut with_faults = pairs.clone();
    with_faults.push(("AVAL__FAULTS__INJECTION", "true"));
    assert!(refusal(&with_faults).contains("faults.injection"));
}

#[test]
fn production_rejects_unencrypted_connections_to_a_remote_database() {
    for key in ["DATABASE_URL", "DATABASE_MIGRATION_URL"] {
        let with = |url| load_production(&[("DATABASE_URL", "host=localhost"), (key, url)]);
        let refused =
            with("postgres://aval:hunter2@db.example/aval").expect_err("must be refused").to_string();
        assert!(refused.contains("sslmode") && !refused.contains("hunter2"), "{refused}");
        assert!(with("postgres://db.example/aval?sslmode=verify-full").is_ok());
    }
    assert!(load(&[("DATABASE_URL", "postgres://db.example/aval")]).is_ok());
    assert!(refusal(&[("DATABASE_MIGRATION_URL", "host=localhost")]).contains("database.migration_url"));
}

#[test]
fn production_rejects_unencrypted_connections_to_a_remote_redis() {
    let with = |url| load_production(&[("REDIS_URL", url)]);
    let refused = with("redis://aval:hunter2@cache.example/0").expect_err("must be refused").to_string();
    assert!(refused.contains("rediss://") && !refused.contains("hunter2"), "{refused}");
    for url in ["rediss://cache.example/0", "redis://localhost", "unix:///run/redis.sock"] {
        assert!(with(url).is_ok(), "{url}");
    }
    assert!(load(&[("REDIS_URL", "redis://cache.example")]).is_ok(), "development");
    assert!(!load(&[]).unwrap().redis.is_configured());
}

#[test]
fn names_of_streams_are_checked_and_entries_are_taken_over_only_after_the_handler_timeout() {
    let short = [("EVENTS_CLAIM_IDLE_MS", "14999")];
    assert!(refusal(&short).contains("events.claim_idle_ms"), "the handler may take 10 seconds");
    assert!(load(&[short[0], ("AVAL__EVENTS__HANDLER_TIMEOUT_MS", "9999")]).is_ok());
    assert!(refusal(&[("EVENTS_CLAIM_INTERVAL_MS", "0")]).contains("events.claim_interval_ms"));
    assert!(refusal(&[("EVENTS_STREAM", "a b")]).contains("events.stream"));
    assert!(refusal(&[("AVAL__EVENTS__GROUP", "")]).contains("events.group"));
    assert!(load(&[("AVAL__EVENTS__STREAM", "")]).unwrap().events.stream.is_empty());
    let named = load(&[("EVENTS_GROUP", "g"), ("EVENTS_CONSUMER", "c"), ("EVENTS_DLQ_STREAM", "d")]).unwrap();
    assert_eq!(
        (&*named.events.group, &*named.events.consumer, &*named.events.dead_letter_stream),
        ("g", "c", "d")
    );
}

#[test]
fn an_invalid_redis_url_is_rejected_without_quoting_it() {
    for url in ["http://:hunter2@cache.example", "hunter2", "rediss://:hunter2@cache.example/#insecure"] {
        let refused = refusal(&[("REDIS_URL", url)]);
        assert!(refused.contains("REDIS_URL") && !refused.contains("hunter2"), "{refused}");
    }
    assert!(refusal(&[("AVAL__REDIS__KEY_PREFIX", "a b")]).contains("redis.key_prefix"));
    assert!(refusal(&[("AVAL__REDIS__POOL_SIZE", "0")]).contains("redis.pool_size"));
    assert!(refusal(&[("AVAL__CACHE__LIST_TTL_MS", "0")]).contains("cache.list_ttl_ms"));
}

#[test]
fn variables_hold_lists_separated_by_commas() {
    let settings = load(&[
        ("AVAL__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"),
        ("AVAL__CORS__ALLOWED_ORIGINS", "https://console.example"),
    ])
    .unwrap();
    assert_eq!(settings.server.trusted_proxies.len(), 2);
    assert_eq!(settings.cors.allowed_origins, ["https://console.example"]);
}

#[test]
fn only_production_has_rate_limits_and_they_match_the_specification() {
    assert!(!load(&[]).unwrap().limits.enabled);
    let limits = load_production(&[]).unwrap().limits;
    assert!(limits.enabled);
    let per_minute = |rates: ClassRates| {
        [rates.address, rates.user, rates.analyst, rates.admin].map(|rate| rate.per_minute.get())
    };
    assert_eq!(per_minute(limits.create), [10; 4]);
    assert_eq!(per_minute(limits.webhook), [100; 4]);
    assert_eq!(per_minute(limits.login), [5; 4]);
}

#[test]
fn production_requires_tls_on_a_public_address() {
    let refused = load_production(&[("AVAL__SERVER__HOST", "0.0.0.0")]).expect_err("must be refused");
    assert!(refused.to_string().contains("server.host"));
    for accepted in [("AVAL__SERVER__PLAINTEXT_BEHIND_PROXY", "true"), ("AVAL__SERVER__HOST", "127.0.0.1")] {
        assert!(load_production(&[("AVAL__SERVER__HOST", "0.0.0.0"), accepted]).is_ok(), "{accepted:?}");
    }
    let tls = [("AVAL__SERVER__TLS__CERTIFICATE_FILE", "a"), ("AVAL__SERVER__TLS__PRIVATE_KEY_FILE", "b")];
    assert!(load_production(&[&tls[..], &[("AVAL__SERVER__HOST", "::")]].concat()).is_ok());
}

#[test]
fn a_public_address_requires_an_explicit_environment() {
    let unnamed = refusal(&[("AVAL__SERVER__HOST", "0.0.0.0")]);
    assert!(unnamed.contains("server.host") && unnamed.contains("AVAL_ENV=production"), "{unnamed}");
    assert!(refusal(&[("AVAL__SERVER__HOST", "::"), ("AVAL_ENV", "")]).contains("AVAL_ENV"));
    let named = [("AVAL__SERVER__HOST", "0.0.0.0"), ("AVAL_ENV", "development")];
    assert!(load(&named).is_ok(), "development containers");
}

#[test]
fn production_rejects_unsafe_settings_with_the_key_and_the_remedy() {
    for (variable, value, key, remedy) in [
        ("AVAL__PROVIDERS__ES__BASE_URL", "http://bureau.example", "providers.es.base_url", "https://"),
        ("AVAL__PROVIDERS__BR__BASE_URL", "HTTP://10.0.0.5/v1", "providers.br.base_url", "https://"),
        ("AVAL__SIMULATOR__CALLBACK_URL", "http://api.internal/x", "simulator.callback_url", "https://"),
        ("AVAL__SIMULATOR__HOST", "0.0.0.0", "simulator.host", "loopback"),
        ("AVAL__CORS__ALLOWED_ORIGINS", "http://console.example", "cors.allowed_origins", "https://"),
        ("AVAL__SERVER__TRUSTED_PROXIES", "0.0.0.0/0", "server.trusted_proxies", "10.0.3.0/24"),
        ("AVAL__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,::/0", "server.trusted_proxies", "10.0.3.0/24"),
        ("AVAL__EMBEDDED__DURABLE", "false", "embedded.durable", "power failure"),
    ] {
        let refused = load_production(&[(variable, value)]).expect_err(value).to_string();
        assert!(refused.contains(key) && refused.contains(remedy), "{refused}");
        assert!(load(&[(variable, value)]).is_ok(), "development: {variable}={value}");
    }
    for (variable, value) in [
        ("AVAL__PROVIDERS__ES__BASE_URL", "https://bureau.example"),
        ("AVAL__PROVIDERS__ES__BASE_URL", "http://127.0.0.1:8090/es"),
        ("AVAL__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"),
    ] {
        assert!(load_production(&[(variable, value)]).is_ok(), "{variable}={value}");
    }
}

#[test]
fn production_runs_an_embedded_database_only_if_enabled() {
    let refused = load_production(&[("DATABASE_URL", "")]).expect_err("must be refused").to_string();
    assert!(refused.contains("DATABASE_URL") && refused.contains("USE_IN_PRODUCTION"), "{refused}");
    let enabled = [("DATABASE_URL", ""), ("AVAL__EMBEDDED__USE_IN_PRODUCTION", "true")];
    assert!(load_production(&enabled).is_ok());
}

#[test]
fn a_command_requires_only_the_settings_that_it_needs() {
    let load = |need, pairs: &[(&str, &str)]| {
        let production = [("AVAL_ENV", "production")];
        let all = production.iter().chain(pairs).map(|(k, v)| (k.to_string(), v.to_string()));
        load::settings(need, &all.collect())
    };
    let url = ("DATABASE_URL", "host=localhost");
    assert!(load(Need::Database, &[url, ("JWT_SECRET_FILE", "/nonexistent")]).is_ok());
    assert!(load(Need::Everything, &[url]).unwrap_err().to_string().contains("JWT_SECRET"));
    assert!(load(Need::Database, &[]).unwrap_err().to_string().contains("DATABASE_URL"));
    let clear = ("DATABASE_URL", "postgres://db.example/aval");
    assert!(load(Need::Database, &[clear]).unwrap_err().to_string().contains("sslmode"));
    assert!(load(Need::Settings, &[("DATABASE_URL_FILE", "/nonexistent")]).is_ok());
    let wrong = ("AVAL__SERVER__KEEP_ALIVE_MS", "1");
    assert!(load(Need::Settings, &[wrong]).unwrap_err().to_string().contains("keep_alive_ms"));
}

#[test]
fn a_key_file_that_others_can_read_is_rejected_in_production_and_a_warning_in_development() {
    use std::os::unix::fs::PermissionsExt as _;

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "vZ3k9Qw7Lx2Rt8Yb5Nc1Md6Pf4Gh0Js_\n").unwrap();
    let path = file.path().to_str().unwrap();
    let tls = [("AVAL__SERVER__TLS__CERTIFICATE_FILE", "a"), ("AVAL__SERVER__TLS__PRIVATE_KEY_FILE", path)];
    let cases = [
        ("JWT_SECRET_FILE", vec![("JWT_SECRET", ""), ("JWT_SECRET_FILE", path)]),
        ("signing_key_file", vec![("AVAL__ACCOUNTS__SIGNING_KEY_FILE", path)]),
        ("private_key_file", tls.to_vec()),
    ];
    for (mode, is_open) in [(0o600, false), (0o644, true), (0o640, true)] {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        for (key, pairs) in &cases {
            let refused = load_production(pairs).err().map(|error| error.to_string());
            assert_eq!(refused.is_some(), is_open, "{key} {mode:o}: {refused:?}");
            assert!(refused.is_none_or(|text| text.contains(key) && text.contains("chmod 600")));
            let warnings = load(pairs).unwrap().warnings;
            assert_eq!(warnings.iter().any(|text| text.contains(key)), is_open, "{key} {mode:o}");
        }
    }
}

#[test]
fn a_country_can_override_single_provider_defaults() {
    let settings = load(&[
        ("AVAL__PROVIDERS__MX__BREAKER__CONSECUTIVE_FAILURES", "3"),
        ("AVAL__PROVIDERS__MX__BREAKER__OPEN_MS", "120000"),
        ("AVAL__PROVIDERS__MX__CALL__MAX_IN_FLIGHT", "4"),
    ])
    .unwrap();
    let mx = settings.providers.of(Country::Mx);
    let es = settings.providers.of(Country::Es);
    assert_eq!((mx.breaker.consecutive_failures, mx.breaker.open_ms, mx.call.max_in_flight), (3, 120_000, 4));
    assert_eq!((es.breaker.consecutive_failures, es.breaker.open_ms, es.call.max_in_flight), (5, 60_000, 32));
    assert_eq!(mx.breaker.window_ms, es.breaker.window_ms);
}

#[test]
fn a_bureau_is_synchronous_unless_configured_otherwise() {
    let settings =
        load(&[("AVAL__PROVIDERS__MX__MODE", "async"), ("AVAL__PROVIDERS__MX__ASYNC_TIMEOUT_MS", "5000")])
            .unwrap();
    let (mx, es) = (settings.providers.of(Country::Mx), settings.providers.of(Country::Es));
    assert_eq!((mx.mode, mx.async_timeout_ms), (ProviderMode::Async, 5000));
    assert_eq!((es.mode, es.async_timeout_ms), (ProviderMode::Sync, 3_600_000));
    assert!(refusal(&[("AVAL__PROVIDERS__MX__MODE", "later")]).contains("later"));
}

#[test]
fn the_local_url_is_that_of_the_configured_server() {
    for (host, port, url) in [
        ("127.0.0.1", "8000", "http://127.0.0.1:8000"),
        ("0.0.0.0", "9000", "http://localhost:9000"),
        ("::1", "8000", "http://[::1]:8000"),
    ] {
        let variables = [("AVAL_ENV", "development"), ("AVAL__SERVER__HOST", host), ("PORT", port)];
        assert_eq!(load(&variables).unwrap().server.local_url(), url);
    }
}
