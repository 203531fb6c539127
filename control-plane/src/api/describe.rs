//! What a handler takes and answers, by the types of its parameters and of its result:
//! the document cannot say anything else than the handler.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kya_core::policy::PolicyDocument;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::extract::{Body, Params, Segment};
use super::policies::{PolicyBody, Precondition};
use super::problem::Problem;
use super::routes::By;

/// Where schemas are that others refer to.
const SCHEMAS: &str = "/components/schemas";

/// Makes the schemas of what is asked, which stand where they are used, and of what is
/// answered, which are components.
pub(super) struct Schemas {
    asked: SchemaGenerator,
    answered: SchemaGenerator,
}

/// One operation.
#[derive(Default)]
pub(super) struct Operation {
    pub(super) parameters: Vec<Value>,
    /// The schema of the variable segment of the path.
    pub(super) segment: Option<Value>,
    pub(super) body: Option<Value>,
    pub(super) answers: BTreeMap<u16, Value>,
    /// Statuses of the problems that it may answer with.
    pub(super) problems: Vec<u16>,
}

/// Something that a handler takes.
pub(super) trait Asks {
    fn describe(schemas: &mut Schemas, operation: &mut Operation);
}

/// Something that a handler answers.
pub(super) trait Answers {
    fn describe(schemas: &mut Schemas, operation: &mut Operation);
}

/// A handler, with `T` as in [`axum::handler::Handler`].
pub(super) trait Describes<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation);
}

/// 201, and where it is if it has a place.
pub(super) struct Created<T>(pub(super) Option<String>, pub(super) T);

/// 202: it goes on, and is found there.
pub(super) struct Begun<T>(pub(super) String, pub(super) T);

/// 202: it waits for somebody else.
pub(super) struct Accepted<T>(pub(super) T);

/// A response of which `T` says what it is made of.
pub(super) struct Shaped<T>(Response, PhantomData<T>);

/// 304 (RFC 9110 section 15.4.5).
pub(super) struct NotModified;

impl Schemas {
    pub(super) fn new() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.meta_schema = None;
        settings.definitions_path = SCHEMAS.into();
        let mut inline = settings.clone().for_deserialize();
        inline.inline_subschemas = true;
        let answered = settings.for_serialize().into_generator();
        Self { asked: inline.into_generator(), answered }
    }

    pub(super) fn asked<T: JsonSchema>(&mut self) -> Value {
        self.asked.subschema_for::<T>().into()
    }

    pub(super) fn answered<T: JsonSchema>(&mut self) -> Value {
        self.answered.subschema_for::<T>().into()
    }

    /// The components.
    pub(super) fn finish(mut self) -> Value {
        Value::Object(self.answered.take_definitions(true))
    }
}

impl<T> Shaped<T> {
    pub(super) fn new(response: impl IntoResponse) -> Self {
        Self(response.into_response(), PhantomData)
    }
}

impl<T> IntoResponse for Shaped<T> {
    fn into_response(self) -> Response {
        self.0
    }
}

impl<T: serde::Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let place =
            self.0.map(|place| -> [(HeaderName, String); 1] { [(header::LOCATION, place)] });
        let answer = (StatusCode::CREATED, Json(self.1));
        match place {
            Some(place) => (place, answer).into_response(),
            None => answer.into_response(),
        }
    }
}

impl<T: serde::Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self.0)).into_response()
    }
}

impl<T: serde::Serialize> IntoResponse for Begun<T> {
    fn into_response(self) -> Response {
        let place = [(header::LOCATION, self.0)];
        (StatusCode::ACCEPTED, place, Json(self.1)).into_response()
    }
}

fn answer(schemas: &mut Value, description: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": schemas.take() } },
    })
}

impl<T: JsonSchema> Answers for Json<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        operation.answers.insert(200, answer(&mut schemas.answered::<T>(), "Done"));
    }
}

impl<T: JsonSchema> Answers for Created<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        operation.answers.insert(201, answer(&mut schemas.answered::<T>(), "Made"));
    }
}

impl<T: JsonSchema> Answers for Begun<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        operation.answers.insert(202, answer(&mut schemas.answered::<T>(), "Begun; it goes on"));
    }
}

impl<T: JsonSchema> Answers for Accepted<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        let waits = "Waits for a second operator; nothing is changed yet";
        operation.answers.insert(202, answer(&mut schemas.answered::<T>(), waits));
    }
}

impl Answers for NotModified {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        operation.answers.insert(304, json!({ "description": "It is as it was" }));
    }
}

impl Answers for &'static str {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        let content = json!({ "text/plain": { "schema": { "type": "string" } } });
        operation.answers.insert(200, json!({ "description": "Done", "content": content }));
    }
}

impl<T: Answers> Answers for Shaped<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        T::describe(schemas, operation);
    }
}

impl<A: Answers, B: Answers> Answers for (A, B) {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        A::describe(schemas, operation);
        B::describe(schemas, operation);
    }
}

impl<T: Answers> Answers for Result<T, Problem> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        T::describe(schemas, operation);
    }
}

impl<T> Asks for State<T> {
    fn describe(_: &mut Schemas, _: &mut Operation) {}
}

impl Asks for By {
    fn describe(_: &mut Schemas, _: &mut Operation) {}
}

/// A handler that takes all of them looks at `if-none-match`.
impl Asks for HeaderMap {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        operation.parameters.push(header_parameter("If-None-Match", json!({ "type": "string" })));
    }
}

impl Asks for Precondition {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        let version = json!({ "type": "string", "pattern": "^\"[1-9][0-9]{0,9}\"$" });
        operation.parameters.push(header_parameter("If-Match", version));
        operation.parameters.push(header_parameter("If-None-Match", json!({ "const": "*" })));
        operation.problems.extend([400, 412]);
    }
}

fn header_parameter(name: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "header", "schema": schema })
}

impl Asks for PolicyBody {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        let schema = schemas.asked::<PolicyDocument>();
        let yaml = json!({ "schema": { "type": "string" } });
        operation.body = Some(json!({
            "required": true,
            "content": { "application/json": { "schema": schema }, "application/yaml": yaml },
        }));
        operation.problems.extend([400, 404, 409, 413, 415, 422]);
    }
}

impl<T: JsonSchema> Asks for Body<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        let schema = schemas.asked::<T>();
        let required = schema.get("required").is_some();
        let content = json!({ "application/json": { "schema": schema } });
        operation.body = Some(json!({ "required": required, "content": content }));
        operation.problems.extend([400, 404, 409, 413, 415, 422]);
    }
}

impl<T: JsonSchema> Asks for Segment<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        operation.segment = Some(schemas.asked::<T>());
        operation.problems.extend([400, 404, 409]);
    }
}

impl<T: JsonSchema> Asks for Params<T> {
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        let schema = schemas.asked::<T>();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let required = required.iter().any(|it| it == name);
            operation.parameters.push(
                json!({ "name": name, "in": "query", "required": required, "schema": schema }),
            );
        }
        // What comes `after` something, or belongs to it, needs that to be there.
        operation.problems.extend([400, 404]);
    }
}

impl<F, R, O> Describes<((),)> for F
where
    F: FnOnce() -> R,
    R: Future<Output = O>,
    O: Answers,
{
    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        O::describe(schemas, operation);
    }
}

macro_rules! handlers {
    ($(($($taken:ident)*))*) => {$(
        impl<F, R, O, M, $($taken),*> Describes<(M, $($taken,)*)> for F
        where
            F: FnOnce($($taken),*) -> R,
            R: Future<Output = O>,
            O: Answers,
            $($taken: Asks),*
        {
            fn describe(schemas: &mut Schemas, operation: &mut Operation) {
                $($taken::describe(schemas, operation);)*
                O::describe(schemas, operation);
            }
        }
    )*};
}

handlers! { (A) (A B) (A B C) (A B C D) (A B C D E) }
