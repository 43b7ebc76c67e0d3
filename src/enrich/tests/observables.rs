//! What is an observable, and what only looks like one.

use super::*;

fn of(text: &str) -> Vec<String> {
    seen(&enricher().text(text, "x").observables)
}

#[test]
fn found() {
    let cases: &[(&str, &[&str])] = &[
        (
            "see https://Docs.Example.com:8443/a(b)?q=1#f.",
            &["url https://Docs.Example.com:8443/a(b)?q=1#f", "domain docs.example.com"],
        ),
        (
            "an https://bücher.example:8443/ä und z@Müller-Bau.de, https://пример.рф/x",
            &[
                "url https://bücher.example:8443/",
                "domain xn--bcher-kva.example",
                "email z@xn--mller-bau-q9a.de",
                "url https://пример.рф/x",
                "domain xn--e1afmkfd.xn--p1ai",
            ],
        ),
        (
            "https://example.comを見て、bob@example.orgに送る",
            &["url https://example.com", "domain example.com", "email bob@example.org"],
        ),
        ("(http://10.0.0.7/x)", &["url http://10.0.0.7/x", "ip 10.0.0.7"]),
        ("go to evil.example.org now", &["domain evil.example.org"]),
        ("read paste.rs/abc", &["domain paste.rs"]),
        ("to: Bob <Bob.Smith+x@Mail.Example.CO.UK>, ok", &["email bob.smith+x@mail.example.co.uk"]),
        ("peer 192.168.1.20:443 up", &["ip 192.168.1.20"]),
        ("addr fe80::1ff:fe23:4567:890a and ::1", &["ip fe80::1ff:fe23:4567:890a", "ip ::1"]),
        ("cat /etc/passwd;", &["file_path /etc/passwd"]),
        (
            "cat $HOME/.kube/config ${HOME}/.ssh/id_rsa $HOMER/x",
            &["file_path $HOME/.kube/config", "file_path ${HOME}/.ssh/id_rsa"],
        ),
        (
            "open ~/.ssh/id_rsa, ./run.sh ../up/x",
            &["file_path ~/.ssh/id_rsa", "file_path ./run.sh", "file_path ../up/x"],
        ),
        ("C:\\Users\\bob\\a.txt", &["file_path C:\\Users\\bob\\a.txt"]),
        ("copy \\\\fileserver\\share\\x", &["file_path \\\\fileserver\\share\\x"]),
        ("file:///etc/hosts", &["file_path /etc/hosts"]),
        ("/.env", &["file_path /.env"]),
        ("IBAN DE89 3704 0044 0532 0130 00 please", &["iban DE89370400440532013000"]),
        ("GB29NWBK60161331926819", &["iban GB29NWBK60161331926819"]),
        ("call +1 (555) 010-9999 or", &["phone +15550109999"]),
        ("btc 1BoatSLRHtKNngkdXEeobR76b53LETtpyT", &["wallet 1BoatSLRHtKNngkdXEeobR76b53LETtpyT"]),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", &["wallet bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"]),
        ("0x52908400098527886E0F7030069857D2E4169EE7", &["wallet 0x52908400098527886E0F7030069857D2E4169EE7"]),
        ("md5 d41d8cd98f00b204e9800998ecf8427e", &["hash d41d8cd98f00b204e9800998ecf8427e"]),
    ];
    for (text, expected) in cases {
        assert_eq!(of(text), *expected, "{text:?}");
    }
}

#[test]
fn not_found() {
    for text in [
        "main.rs package.json index.js README.md foo.py user.email config.host System.Net",
        "version 1.2.3.4, v1.2.3.4, 1.2.3, 1.2.3.4.5, 999.1.1.1, 01.2.3.4",
        "std::vector a::b 12:30:45 00:1b:44:11:3a:b7",
        "and/or 12/05/2026 </div> // comment a/b/c",
        "items.append(x) requests.get(url) self.client.get(y)",
        "pkg@1.2.3 @decorator a@b",
        "1 + 12345678 +00:00 +12",
        "DE89370400440532013001 AB12CDEF",
        "550e8400-e29b-41d4-a716-446655440000 0xdeadbeef",
        "1BoatSLRHtKNngkdXEeobR76b53LETtpyU",
        "end of one.Next begins e.g. this",
        "\\\\tNAME\\\\tAGE and Code.app/Contents",
    ] {
        assert_eq!(of(text), Vec::<String>::new(), "{text:?}");
    }
}

#[test]
fn paths_point_at_the_string() {
    let (_, enriched) =
        result(&serde_json::json!({"a/b": [{"~k": "x https://u.example.com/"}], "https://key.example.com/": 1}));
    let found: Vec<_> = enriched.observables.iter().filter(|o| o.kind == "url").map(|o| o.path.as_str()).collect();
    assert_eq!(found, ["/a~1b/0/~0k", "/https:~1~1key.example.com~1"]);
    let inner = serde_json::json!({"deep": "https://n.example.com/\u{e9}"}).to_string();
    let (_, enriched) = result(&serde_json::json!({"content": [{"text": inner}]}));
    assert_eq!(
        (enriched.observables[0].value.as_str(), enriched.observables[0].path.as_str()),
        ("https://n.example.com/", "/content/0/text")
    );
    let mut call = Call { arguments: Some(r#"{"path":"/Users/x/My Documents/a b.txt"}"#.into()), ..Call::default() };
    let enriched = enricher().call(&mut call);
    assert_eq!(enriched.observables[0].value, "/Users/x/My Documents/a b.txt");
    assert!(enriched.observables[0].in_arguments);
}

#[test]
fn too_many_are_capped_and_said_so() {
    let many: String = (0..400).map(|i| format!("https://h{i}.example.com/ ")).collect();
    let out = enricher().text(&many, "x");
    assert_eq!(out.observables.len(), 256);
    assert!(has(out.flags, Flag::ObservablesCapped));
    assert!(out.observables.iter().all(|o| !o.value.contains(char::is_control)));
}
