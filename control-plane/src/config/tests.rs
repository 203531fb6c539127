use super::*;

fn values(pairs: &[(&'static str, &str)]) -> Values {
    pairs.iter().map(|(name, text)| (*name, (*text).to_owned())).collect()
}

fn problems(result: Result<impl fmt::Debug, Vec<ConfigError>>) -> String {
    let errors = result.unwrap_err();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let all = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]
        .map(|text| values(&[("http_listen", text), ("data_dir", "d")]));
    let [flags, environment, file] = &all;
    let none = &Values::new();
    let dir = &values(&[("data_dir", "d")]);
    let port = |flags, environment, file| {
        resolve(flags, environment, Some(("kya.toml", file))).unwrap().config.http_listen.port()
    };
    assert_eq!(port(flags, environment, file), 1);
    assert_eq!(port(none, environment, file), 2);
    assert_eq!(port(none, none, file), 3);
    assert_eq!(port(dir, none, none), 7080);
}

#[test]
fn what_is_effective_is_shown_with_its_origin_and_reads_back() {
    let environment =
        from_environment(|name| (name == "KYA_LOG_FORMAT").then(|| "json".into())).unwrap();
    let file = from_toml("kya.toml", "drain_timeout = \"3s\"").unwrap();
    let flags = values(&[("data_dir", "/var/lib/\"kya\"")]);
    let effective = resolve(&flags, &environment, Some(("kya.toml", &file))).unwrap();
    let shown = effective.to_string();
    for line in [
        "log_format = \"json\"  # KYA_LOG_FORMAT",
        "drain_timeout = \"3s\"  # kya.toml, `drain_timeout`",
        "http_listen = \"127.0.0.1:7080\"  # default",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let again = from_toml("shown", &shown).unwrap();
    let none = Values::new();
    assert_eq!(resolve(&again, &none, None).unwrap().config, effective.config);
}

#[test]
fn an_unknown_setting_is_refused_with_the_known_ones() {
    let shown = problems(from_toml("kya.toml", "http_listn = \"x\"\n[http]\nlisten = 1"));
    assert!(shown.contains("kya.toml: there is no setting `http_listn`; there are data_dir"));
    assert!(shown.contains("there is no setting `http`"), "{shown}");
}

#[test]
fn a_value_of_another_type_is_refused() {
    let shown = problems(from_toml("kya.toml", "drain_timeout = 10"));
    assert_eq!(shown, "kya.toml: `drain_timeout` must be a string, not an integer: 10");
}

#[test]
fn broken_toml_is_refused_with_its_place() {
    let shown = problems(from_toml("kya.toml", "log = \"info\"\nlog_format = "));
    assert!(shown.contains("kya.toml: not valid TOML") && shown.contains("line 2"), "{shown}");
}

#[test]
fn every_wrong_value_is_named_with_where_it_came_from() {
    let flags = values(&[("http_listen", "localhost"), ("drain_timeout", "11m")]);
    let environment = values(&[("grpc_listen", "127.0.0.1"), ("log", "a=b=c")]);
    let file = values(&[("log_format", "xml"), ("data_dir", "")]);
    let shown = problems(resolve(&flags, &environment, Some(("kya.toml", &file))));
    for line in [
        "--http-listen: `localhost` is not an address and port",
        "--drain-timeout: `11m` is longer than the 10 minutes",
        "KYA_GRPC_LISTEN: `127.0.0.1` is not an address and port",
        "KYA_LOG: `a=b=c` is not a log filter",
        "kya.toml, `log_format`: `xml` is neither `text` nor `json`",
        "kya.toml, `data_dir`: must not be empty",
    ] {
        assert!(shown.contains(line), "no `{line}` in\n{shown}");
    }
}

#[test]
fn a_data_dir_is_needed() {
    let none = Values::new();
    let shown = problems(resolve(&none, &none, None));
    assert_eq!(
        shown,
        "data_dir: is not set: give --data-dir, KYA_DATA_DIR, or `data_dir` in the file"
    );
}

#[test]
fn one_address_for_both_is_refused_unless_its_port_is_to_be_any() {
    let listen = |http, grpc| {
        let flags = values(&[("data_dir", "d"), ("http_listen", http), ("grpc_listen", grpc)]);
        resolve(&flags, &Values::new(), None)
    };
    let shown = problems(listen("127.0.0.1:7080", "127.0.0.1:7080"));
    assert!(shown.contains("http_listen and grpc_listen: are both 127.0.0.1:7080"), "{shown}");
    assert!(listen("127.0.0.1:0", "127.0.0.1:0").is_ok());
    assert!(listen("127.0.0.1:7080", "127.0.0.2:7080").is_ok());
}

#[test]
fn an_address_that_other_machines_reach_needs_tls_or_a_decision() {
    let with = |more: &[(&'static str, &str)]| {
        let all = [&[("data_dir", "d")], more].concat();
        resolve(&values(&all), &Values::new(), None)
    };
    let shown = problems(with(&[("http_listen", "0.0.0.0:1"), ("grpc_listen", "10.0.0.7:2")]));
    for line in [
        "http_listen: 0.0.0.0:1 can be reached from other machines",
        "give --http-tls-cert and --http-tls-key, or --allow-plaintext",
        "grpc_listen: 10.0.0.7:2 can be reached from other machines",
        "give --grpc-tls-cert and --grpc-tls-key, or --allow-plaintext",
    ] {
        assert!(shown.contains(line), "no `{line}` in\n{shown}");
    }
    for local in ["127.0.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(with(&[("http_listen", local)]).is_ok(), "{local}");
    }
    for exposed in ["[::]:1", "192.168.1.1:1", "[::ffff:10.0.0.1]:1"] {
        assert!(with(&[("http_listen", exposed)]).is_err(), "{exposed}");
        assert!(with(&[("http_listen", exposed), ("allow_plaintext", "true")]).is_ok());
        assert!(with(&[("http_listen", exposed), ("allow_plaintext", "false")]).is_err());
        let tls = [("http_listen", exposed), ("http_tls_cert", "c"), ("http_tls_key", "k")];
        assert!(with(&tls).is_ok(), "{exposed}");
        let other = [("http_listen", exposed), ("grpc_tls_cert", "c"), ("grpc_tls_key", "k")];
        assert!(with(&other).is_err(), "the TLS of the other listener helps nobody");
    }
    let shown = problems(with(&[("allow_plaintext", "yes")]));
    assert_eq!(shown, "--allow-plaintext: `yes` is neither `true` nor `false`");
}

#[test]
fn a_certificate_and_its_key_come_together() {
    let environment =
        values(&[("data_dir", "d"), ("http_tls_cert", "c"), ("grpc_tls_client_ca", "a")]);
    let shown = problems(resolve(&Values::new(), &environment, None));
    let missing = [
        "http_tls_key: is not set, and TLS needs it: give --http-tls-key, KYA_HTTP_TLS_KEY, or `http_tls_key` in the file",
        "grpc_tls_cert: is not set, and TLS needs it",
        "grpc_tls_key: is not set, and TLS needs it",
    ];
    assert_eq!(shown.lines().count(), missing.len(), "{shown}");
    for line in missing {
        assert!(shown.contains(line), "no `{line}` in\n{shown}");
    }
    let whole = "http_tls_cert = \"c\"\nhttp_tls_key = \"k\"\nhttp_tls_client_ca = \"a\"
                 data_dir = \"d\"\nallow_plaintext = true";
    let file = from_toml("kya.toml", whole).unwrap();
    let effective = resolve(&Values::new(), &Values::new(), Some(("kya.toml", &file))).unwrap();
    let config = effective.config.clone();
    let client_ca = Some(PathBuf::from("a"));
    let files = TlsFiles { cert: "c".into(), key: "k".into(), client_ca };
    assert_eq!((config.http_tls, config.grpc_tls), (Some(files), None));
    assert!(config.allow_plaintext);
    let again = from_toml("shown", &effective.to_string()).unwrap();
    assert_eq!(resolve(&again, &Values::new(), None).unwrap().config, effective.config);
}

#[test]
fn the_password_of_a_database_is_in_nothing_that_is_shown() {
    let url = "postgres://kya:hunter2@db.example/kya?sslmode=verify-full";
    let flags = values(&[("data_dir", "d"), ("database_url", url)]);
    let effective = resolve(&flags, &Values::new(), None).unwrap();
    assert_eq!(effective.config.database_url, Some(url.parse().unwrap()));
    let shown = effective.to_string();
    let line = "database_url = \"postgres://kya@db.example:5432/kya\"  # --database-url";
    assert!(shown.contains(line), "{shown}");
    for shown in [
        shown,
        format!("{effective:?}"),
        problems(from_toml("kya.toml", &format!("log = \"info\"\ndatabase_url = {url}"))),
        problems(from_toml("kya.toml", &format!("database_url = [\"{url}\"]"))),
        problems(resolve(
            &values(&[("data_dir", "d"), ("database_url", "mysql://kya:hunter2@db/kya")]),
            &Values::new(),
            None,
        )),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_database_elsewhere_that_does_not_show_who_it_is_is_refused_unless_that_is_allowed() {
    let url = "postgres://kya:hunter2@db.example/kya?sslmode=require";
    let mut flags = values(&[("data_dir", "d"), ("database_url", url)]);
    let errors = resolve(&flags, &Values::new(), None).unwrap_err();
    let said = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert!(said.contains("database_url") && said.contains("sslmode=verify-full"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    flags.insert("allow_plaintext", "true".to_owned());
    assert!(resolve(&flags, &Values::new(), None).is_ok());
}

#[test]
fn a_second_operator_is_asked_for_only_where_that_is_set() {
    let with = |text: Option<&str>| {
        let more = text.map(|text| ("second_operator_to_resume", text));
        let all: Vec<_> = [("data_dir", "d")].into_iter().chain(more).collect();
        resolve(&values(&all), &Values::new(), None)
    };
    assert!(!with(None).unwrap().config.second_operator_to_resume);
    assert!(with(Some("true")).unwrap().config.second_operator_to_resume);
    let shown = problems(with(Some("yes")));
    assert_eq!(shown, "--second-operator-to-resume: `yes` is neither `true` nor `false`");
    let file = from_toml("kya.toml", "data_dir = \"d\"\nsecond_operator_to_resume = true").unwrap();
    let effective = resolve(&Values::new(), &Values::new(), Some(("kya.toml", &file))).unwrap();
    assert!(effective.config.second_operator_to_resume);
    let environment =
        from_environment(|name| (name == "KYA_SECOND_OPERATOR_TO_RESUME").then(|| "true".into()));
    let effective = resolve(&values(&[("data_dir", "d")]), &environment.unwrap(), None).unwrap();
    assert!(effective.config.second_operator_to_resume);
}
