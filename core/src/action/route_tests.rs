use super::*;
use proptest::prelude::*;

#[test]
fn a_route_is_a_method_and_a_template() {
    for text in [
        "GET /",
        "POST /v1/refunds",
        "GET /v1/customers/{id}",
        "GET /v1/customers/{id}/orders/{order_2}",
        "GET /v1/customers/",
        "POST /v1/agents/{id}:revoke",
        "POST /v1/agents:import",
        "GET /objects/{rest=**}",
        "M-SEARCH /.well-known/x",
        "OPTIONS /v1/refunds",
        "HEAD /v1/refunds",
    ] {
        assert_eq!(text.parse::<Route>().unwrap().to_string(), text);
    }
}

#[test]
fn a_method_of_grpc_is_a_post_to_its_path() {
    let route: Route = "grpc: payments.v1.Refunds/Issue".parse().unwrap();
    assert_eq!(route, "POST /payments.v1.Refunds/Issue".parse().unwrap());
    assert_eq!(route, Route::grpc("payments.v1.Refunds/Issue").unwrap());
    for text in [
        "",
        "Refunds",
        "/payments.Refunds/Issue",
        "a.b/",
        "a..b/C",
        ".a/C",
        "a/B/C",
        "a/{b}",
        "a/B?x",
        "1a/B",
        "a b/C",
    ] {
        assert_eq!(Route::grpc(text), Err(RouteError::Grpc), "{text}");
    }
}

#[test]
fn a_method_is_in_capital_letters_and_has_a_path() {
    for text in ["get /", "Get /", " GET /", "G3T /", "-GET /", "GET\t /", " /", "* /"] {
        assert_eq!(text.parse::<Route>(), Err(RouteError::Method), "{text}");
    }
    assert_eq!("CONNECT /".parse::<Route>(), Err(RouteError::Connect));
    assert_eq!("/v1/refunds".parse::<Route>(), Err(RouteError::Shape));
    assert_eq!(Route::http(&"A".repeat(33), "/"), Err(RouteError::Method));
}

#[test]
fn a_template_has_one_reading() {
    use PathError::*;
    for (template, error) in [
        ("", NotAbsolute),
        ("*", NotAbsolute),
        ("v1", NotAbsolute),
        ("http://host/v1", NotAbsolute),
        ("//v1", EmptySegment),
        ("/v1//x", EmptySegment),
        ("/v1/./x", DotSegment),
        ("/v1/../x", DotSegment),
        ("/v1/x;y", Parameters),
        ("/v1/x#y", WrongCharacter),
        ("/v1/x y", WrongCharacter),
        ("/v1\\x", WrongCharacter),
        ("/v1/é", WrongCharacter),
        ("/v1/%2Fx", WronglyEncoded),
        ("/v1/%61", WronglyEncoded),
    ] {
        assert_eq!(Route::http("GET", template), Err(RouteError::Path(error)), "{template}");
    }
    assert_eq!(Route::http("GET", "/caf%C3%A9"), Err(RouteError::Encoded));
    assert_eq!(Route::http("GET", "/a%20b"), Err(RouteError::Encoded));
    assert_eq!(Route::http("GET", "/v1?x=y"), Err(RouteError::Query));
}

#[test]
fn a_parameter_is_a_whole_segment_with_a_name_of_its_own() {
    for segment in [
        "{}",
        "{",
        "}",
        "{id",
        "id}",
        "x{id}",
        "{id}x",
        "{id}.json",
        "{a}{b}",
        "{{id}}",
        "{Id}",
        "{1d}",
        "{i-d}",
        "{id=*}",
        "{id=**}x",
        "{=**}",
        "{id}:",
        "{id}:re-voke",
        "{id}:1x",
        "{id}:a:b",
        "{id=**}:verb",
        "{id}:{verb}",
    ] {
        let error = RouteError::Parameter(segment.to_owned());
        assert_eq!(Route::http("GET", &format!("/a/{segment}")), Err(error), "{segment}");
    }
    let error = RouteError::Parameter("{rest=**}".to_owned());
    assert_eq!(Route::http("GET", "/{rest=**}/x"), Err(error));
    assert_eq!(Route::http("GET", "/{a}/{a}"), Err(RouteError::SameName("a".to_owned())));
}

#[test]
fn a_template_is_bounded() {
    let segments = |count: usize| "/a".repeat(count);
    assert!(Route::http("GET", &segments(MAX_SEGMENTS)).is_ok());
    assert_eq!(Route::http("GET", &segments(MAX_SEGMENTS + 1)), Err(RouteError::TooLong));
    let long = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
    assert!(Route::http("GET", &long(MAX_ROUTE_BYTES)).is_ok());
    assert_eq!(Route::http("GET", &long(MAX_ROUTE_BYTES + 1)), Err(RouteError::TooLong));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String, method: String) {
        let _ = text.parse::<Route>();
        let _ = Route::http(&method, &text);
        let _ = Route::http("GET", &format!("/{text}"));
        let _ = Route::grpc(&text);
    }

    #[test]
    fn a_route_survives_being_written(text in "(GET|POST) (/(a|\\{b\\}|\\{c\\}:d|\\{e=\\*\\*\\}|%|x;)?){1,4}") {
        if let Ok(route) = text.parse::<Route>() {
            prop_assert_eq!(route.to_string().parse(), Ok(route));
        }
    }
}
