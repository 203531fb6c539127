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
use super::idempotency::{self, Again};
use super::problem::{Code, Problem};
use super::{Api, PREFIX, layers};
use crate::operators::{Operator, OperatorAccess, Permission};

/// What may be asked at a path, and the permission that each takes.
type Methods = BTreeMap<&'static str, Declared>;

/// What is declared of one method of a path.
#[derive(Clone, Copy)]
struct Declared {
    takes: Permission,
    /// Of what makes something: what it answers under a key that it had before.
    again: Option<Again>,
    describe: Describe,
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
        self.route(path, "GET", Declared { takes, again: None, describe }, get(handler))
    }

    /// Something that is done.
    pub(super) fn post<H, T>(self, path: &'static str, takes: Permission, handler: H) -> Self
    where
        H: Handler<T, S> + Describes<T>,
        T: 'static,
    {
        let describe = <H as Describes<T>>::describe;
        self.route(path, "POST", Declared { takes, again: None, describe }, post(handler))
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
        let declared = Declared { takes, again: Some(again), describe };
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
    pub(super) fn with_bodies_of(self, bytes: usize) -> Self {
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
    let Some(Declared { takes, again, .. }) = methods.get(method) else {
        let allowed = methods.keys().copied().collect::<Vec<_>>().join(", ");
        return not_allowed(request.method().clone(), uri, &allowed).await;
    };
    let changes = method != "GET" && !takes.only_asks();
    if let Err(error) = guard.access.permit(&operator, *takes, changes, peer.ip()) {
        return Problem::from(error).into_response();
    }
    let _turn = match guard.access.turn(*takes).await {
        Ok(turn) => turn,
        Err(error) => return Problem::from(error).into_response(),
    };
    request.extensions_mut().insert(operator.clone());
    match *again {
        Some(again) => {
            idempotency::once(guard.access.store(), &operator, again, request, next).await
        }
        None => next.run(request).await,
    }
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
