//! The routes of operators, each with the permission that it takes.
//!
//! **Invariant.** A request reaches a handler only when its operator has the permission
//! that its route declares. [`Routes`] has no way to add a route without one, and what
//! was not added by it is not let through.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{
    ConnectInfo, DefaultBodyLimit, FromRequestParts, MatchedPath, OriginalUri, Request, State,
};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};

use super::describe::{Describes, Operation, Schemas};
use super::extract::{MAX_BODY_BYTES, body_bytes};
use super::idempotency::{self, Again};
use super::problem::{Code, Problem};
use super::{Api, PREFIX, REQUEST_TIMEOUT, layers};
use crate::operators::{Operator, OperatorAccess, Permission};

/// What may be asked at a path, and the permission that each takes.
type Methods = BTreeMap<&'static str, Declared>;

/// What is declared of one method of a path.
#[derive(Clone, Copy)]
struct Declared {
    takes: Permission,
    /// Whether it waits for its turn. What ends somebody's authority does not, though its
    /// permission may be for what starts something, too.
    starts: bool,
    /// Of what makes something: what it answers under a key that it had before.
    again: Option<Again>,
    /// Bytes of a body.
    bodies: usize,
    describe: Describe,
}

impl Declared {
    fn new(takes: Permission, describe: Describe) -> Self {
        let (starts, bodies) = (takes.starts(), MAX_BODY_BYTES);
        Self { takes, starts, again: None, bodies, describe }
    }

    /// Whether it is one of the changes of which nobody makes too many.
    fn counts(&self, method: &str) -> bool {
        let changes = method != "GET" && !self.takes.only_asks();
        changes && !self.takes.stops() && (self.starts || !self.takes.starts())
    }
}

/// Says what its handler takes and answers.
pub(super) type Describe = fn(&mut Schemas, &mut Operation);

/// Routes below [`PREFIX`] that are for operators.
pub(super) struct Routes<S = Arc<Api>> {
    router: Router<S>,
    permissions: BTreeMap<&'static str, Methods>,
}

/// The operator that makes a request. Only the guard puts one there.
pub(super) struct By(pub(super) Operator);

#[derive(Clone)]
struct Guard {
    access: Arc<OperatorAccess>,
    permissions: Arc<BTreeMap<&'static str, Methods>>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None.
    pub(super) fn new() -> Self {
        Self { router: Router::new(), permissions: BTreeMap::new() }
    }

    /// Something that is read. HEAD asks for the same.
    pub(super) fn get<H, T>(self, path: &'static str, takes: Permission, handler: H) -> Self
    where
        H: Handler<T, S> + Describes<T>,
        T: 'static,
    {
        let describe = <H as Describes<T>>::describe;
        self.route(path, "GET", Declared::new(takes, describe), get(handler))
    }

    /// Something that is done.
    pub(super) fn post<H, T>(self, path: &'static str, takes: Permission, handler: H) -> Self
    where
        H: Handler<T, S> + Describes<T>,
        T: 'static,
    {
        let describe = <H as Describes<T>>::describe;
        self.route(path, "POST", Declared::new(takes, describe), post(handler))
    }

    /// Something that ends somebody's authority, though its permission is also for what
    /// starts something: as every stop, it waits for no turn and is not counted.
    pub(super) fn stop<H, T>(self, path: &'static str, takes: Permission, handler: H) -> Self
    where
        H: Handler<T, S> + Describes<T>,
        T: 'static,
    {
        let describe = <H as Describes<T>>::describe;
        let declared = Declared { starts: false, ..Declared::new(takes, describe) };
        self.route(path, "POST", declared, post(handler))
    }

    /// Something that is made, once for each `idempotency-key`.
    pub(super) fn make<H, T>(
        self,
        path: &'static str,
        takes: Permission,
        again: Again,
        handler: H,
    ) -> Self
    where
        H: Handler<T, S> + Describes<T>,
        T: 'static,
    {
        let describe: Describe = |schemas, operation| {
            <H as Describes<T>>::describe(schemas, operation);
            operation.parameters.push(idempotency::parameter());
            operation.problems.extend([400, 409, 413, 422]);
        };
        let declared = Declared { again: Some(again), ..Declared::new(takes, describe) };
        self.route(path, "POST", declared, post(handler))
    }

    fn route(
        mut self,
        path: &'static str,
        method: &'static str,
        declared: Declared,
        handler: MethodRouter<S>,
    ) -> Self {
        self.permissions.entry(path).or_default().insert(method, declared);
        Self { router: self.router.route(path, handler), ..self }
    }

    /// Answers 503 where one of those so far takes longer.
    pub(super) fn within(self, limit: Duration) -> Self {
        let router = self.router.layer(from_fn_with_state(limit, layers::time_out));
        Self { router, ..self }
    }

    /// Those so far take bodies of up to so many bytes.
    pub(super) fn with_bodies_of(mut self, bytes: usize) -> Self {
        for declared in self.permissions.values_mut().flat_map(BTreeMap::values_mut) {
            declared.bodies = bytes;
        }
        Self { router: self.router.layer(DefaultBodyLimit::max(bytes)), ..self }
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        for (path, methods) in other.permissions {
            self.permissions.entry(path).or_default().extend(methods);
        }
        Self { router: self.router.merge(other.router), ..self }
    }

    /// Method, path and permission of each, and what describes it.
    pub(super) fn all(
        &self,
    ) -> impl Iterator<Item = (&'static str, &'static str, Permission, Describe)> {
        let methods = self.permissions.iter();
        methods.flat_map(|(path, methods)| {
            methods.iter().map(|(method, it)| (*method, *path, it.takes, it.describe))
        })
    }

    /// The routes, and whatever else is asked for below the prefix, behind the guard: a
    /// stranger learns not even which routes there are.
    pub(super) fn guarded(self, access: &Arc<OperatorAccess>) -> Router<S> {
        let guard = Guard { access: Arc::clone(access), permissions: Arc::new(self.permissions) };
        // Both are set here, since one that is set outside would be outside of the guard.
        self.router
            .fallback(layers::not_found)
            .method_not_allowed_fallback(layers::method_not_allowed)
            .layer(from_fn_with_state(guard, admit))
    }
}

/// Lets a request through if its operator may make it.
async fn admit(
    State(guard): State<Guard>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    OriginalUri(uri): OriginalUri,
    route: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let operator = match guard.access.authenticate(request.headers(), peer.ip()).await {
        Ok(operator) => operator,
        Err(error) => return Problem::from(error).into_response(),
    };
    let known = route.as_ref().and_then(|route| route.as_str().strip_prefix(PREFIX));
    let Some(methods) = known.and_then(|path| guard.permissions.get(path)) else {
        return layers::not_found(OriginalUri(uri)).await.into_response();
    };
    let method = match *request.method() {
        Method::HEAD => "GET",
        ref method => method.as_str(),
    };
    let Some(declared) = methods.get(method).copied() else {
        let allowed = methods.keys().copied().collect::<Vec<_>>().join(", ");
        return not_allowed(request.method().clone(), uri, &allowed).await;
    };
    let Declared { takes, bodies, .. } = declared;
    if let Err(error) = guard.access.permit(&operator, takes, peer.ip()) {
        return Problem::from(error).into_response();
    }
    let (reads, counts) = (method == "GET", declared.counts(method));
    request.extensions_mut().insert(operator.clone());
    if reads {
        return next.run(request).await;
    }
    // Whoever sends a body slowly has nothing that somebody else waits for.
    let request = match with_whole_body(request, bodies).await {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    if counts && let Err(error) = guard.access.count(&operator, takes, peer.ip()) {
        return Problem::from(error).into_response();
    }
    if !declared.starts {
        return next.run(request).await;
    }
    let turn = match guard.access.turn().await {
        Ok(turn) => turn,
        Err(error) => return Problem::from(error).into_response(),
    };
    let store = Arc::clone(guard.access.store());
    // It goes on to its end, with its turn, when nobody waits for the answer any more.
    let done = tokio::spawn(async move {
        let response = match declared.again {
            Some(again) => idempotency::once(&store, &operator, again, request, next).await,
            None => next.run(request).await,
        };
        drop(turn);
        response
    });
    done.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a change");
        Problem::new(Code::Internal, "see the server's log").into_response()
    })
}

/// The same request with a body that has come.
async fn with_whole_body(request: Request, limit: usize) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let mut whole = Request::from_parts(parts.clone(), body);
    DefaultBodyLimit::max(limit).apply(&mut whole);
    let read = tokio::time::timeout(REQUEST_TIMEOUT, body_bytes(whole, &(), limit)).await;
    let late = |_| {
        let detail = format!("no whole body within {REQUEST_TIMEOUT:?}");
        Problem::new(Code::Unavailable, detail)
    };
    let body = read.map_err(late)??;
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// RFC 9110 section 15.5.6 wants to be told what would be.
async fn not_allowed(method: Method, uri: axum::http::Uri, allowed: &str) -> Response {
    let problem = layers::method_not_allowed(method, OriginalUri(uri)).await;
    let mut response = problem.into_response();
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let operator = parts.extensions.get::<Operator>().cloned().map(Self);
        operator.ok_or_else(|| Problem::new(Code::Internal, "the request is nobody's"))
    }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
