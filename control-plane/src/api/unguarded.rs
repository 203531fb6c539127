//! Routes that are not for operators, listed so that the document has each.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::routing::{get, post};

use super::Api;

/// Routes without a permission.
pub(super) struct Unguarded {
    router: Router<Arc<Api>>,
    listed: Vec<(&'static str, &'static str)>,
}

impl Unguarded {
    /// None.
    pub(super) fn new() -> Self {
        Self { router: Router::new(), listed: Vec::new() }
    }

    pub(super) fn get<T: 'static>(
        mut self,
        path: &'static str,
        handler: impl Handler<T, Arc<Api>>,
    ) -> Self {
        self.listed.push(("GET", path));
        Self { router: self.router.route(path, get(handler)), ..self }
    }

    pub(super) fn post<T: 'static>(
        mut self,
        path: &'static str,
        handler: impl Handler<T, Arc<Api>>,
    ) -> Self {
        self.listed.push(("POST", path));
        Self { router: self.router.route(path, post(handler)), ..self }
    }

    /// The same with a body of up to so many bytes.
    pub(super) fn post_large<T: 'static>(
        mut self,
        path: &'static str,
        bytes: usize,
        handler: impl Handler<T, Arc<Api>>,
    ) -> Self {
        self.listed.push(("POST", path));
        let handler = post(handler).layer(DefaultBodyLimit::max(bytes));
        Self { router: self.router.route(path, handler), ..self }
    }

    /// Method and path of each.
    pub(super) fn all(&self) -> &[(&'static str, &'static str)] {
        &self.listed
    }

    pub(super) fn into_router(self) -> Router<Arc<Api>> {
        self.router
    }
}
