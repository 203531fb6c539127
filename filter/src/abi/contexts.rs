//! Which contexts there are: the plugins of this wasm VM, and their requests.
//!
//! A host call for a request that is over can crash the proxy, so what is known
//! here as live is exactly what the proxy has not yet said is done.

use std::collections::{BTreeMap, VecDeque};

/// A context, as the ABI numbers it.
pub(super) type Id = u32;

/// Most requests that were announced and have shown no headers yet. Envoy also
/// makes a context to log a request that another filter had answered, and may
/// never delete that, so of more than these the oldest are forgotten. One that
/// comes after all is held.
const MAX_ANNOUNCED: usize = 1024;

/// The contexts of this wasm VM, with a `V` for each configured plugin.
#[derive(Debug)]
pub(super) struct Contexts<V> {
    /// By root context; empty until it is configured.
    roots: BTreeMap<Id, Option<V>>,
    /// Requests without headers yet, and their root contexts.
    announced: VecDeque<(Id, Id)>,
    /// Live requests, and their root contexts.
    live: BTreeMap<Id, Id>,
}

impl<V> Default for Contexts<V> {
    fn default() -> Self {
        Self { roots: BTreeMap::new(), announced: VecDeque::new(), live: BTreeMap::new() }
    }
}

impl<V> Contexts<V> {
    /// A context was made; the parent of a root context is 0.
    pub(super) fn create(&mut self, context: Id, parent: Id) {
        if parent == 0 {
            self.roots.insert(context, None);
            return;
        }
        if self.announced.len() >= MAX_ANNOUNCED {
            self.announced.pop_front();
        }
        self.announced.push_back((context, parent));
    }

    /// The plugin of a root context is configured.
    pub(super) fn configure(&mut self, root: Id, plugin: V) {
        self.roots.insert(root, Some(plugin));
    }

    /// The plugins of all root contexts.
    pub(super) fn plugins(&self) -> impl Iterator<Item = &V> {
        self.roots.values().flatten()
    }

    /// The plugin of a root context.
    pub(super) fn plugin(&mut self, root: Id) -> Option<&mut V> {
        self.roots.get_mut(&root)?.as_mut()
    }

    /// The root context of a context.
    pub(super) fn root_of(&self, context: Id) -> Option<Id> {
        let root = || self.roots.contains_key(&context).then_some(context);
        self.live.get(&context).copied().or_else(root)
    }

    /// The headers of a request are there: it is live from now on.
    pub(super) fn arrive(&mut self, context: Id) -> Option<&mut V> {
        if let Some(root) = self.take_announced(context) {
            self.live.insert(context, root);
        }
        self.request(context)
    }

    /// The plugin of a live request.
    pub(super) fn request(&mut self, context: Id) -> Option<&mut V> {
        let root = *self.live.get(&context)?;
        self.plugin(root)
    }

    /// A request is over. Its plugin, if it was live until now.
    pub(super) fn end(&mut self, context: Id) -> Option<&mut V> {
        match self.live.remove(&context) {
            Some(root) => self.plugin(root),
            None => {
                self.take_announced(context);
                None
            }
        }
    }

    /// A root context is over, or is about to be configured again.
    pub(super) fn take_plugin(&mut self, root: Id) -> Option<V> {
        self.roots.remove(&root)?
    }

    fn take_announced(&mut self, context: Id) -> Option<Id> {
        // Nearly always it is the last.
        let at = self.announced.iter().rposition(|(announced, _)| *announced == context)?;
        self.announced.remove(at).map(|(_, root)| root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured() -> Contexts<&'static str> {
        let mut contexts = Contexts::default();
        for (root, plugin) in [(1, "first"), (2, "second")] {
            contexts.create(root, 0);
            assert_eq!(contexts.plugin(root), None);
            contexts.configure(root, plugin);
        }
        assert_eq!(contexts.plugins().copied().collect::<Vec<_>>(), ["first", "second"]);
        contexts
    }

    #[test]
    fn a_request_is_live_from_its_headers_until_it_is_done() {
        let mut contexts = configured();
        contexts.create(7, 2);
        assert_eq!(contexts.request(7), None, "there are no headers");
        assert_eq!(contexts.arrive(7).copied(), Some("second"));
        assert_eq!((contexts.root_of(7), contexts.root_of(1)), (Some(2), Some(1)));
        assert_eq!(contexts.request(7).copied(), Some("second"));
        assert_eq!(contexts.end(7).copied(), Some("second"));
        assert_eq!(contexts.end(7), None, "it ended before");
        assert_eq!(contexts.request(7), None);
        assert_eq!(contexts.root_of(7), None);
        assert_eq!(contexts.arrive(7), None, "nobody announced it again");
    }

    #[test]
    fn a_request_without_headers_ends_without_a_trace() {
        let mut contexts = configured();
        contexts.create(7, 1);
        assert_eq!(contexts.end(7), None);
        assert_eq!(contexts.arrive(7), None);
    }

    #[test]
    fn the_requests_of_a_plugin_that_is_gone_have_none() {
        let mut contexts = configured();
        contexts.create(7, 1);
        contexts.arrive(7);
        assert_eq!(contexts.take_plugin(1), Some("first"));
        assert_eq!(contexts.take_plugin(1), None);
        assert_eq!(contexts.request(7), None);
        contexts.create(8, 1);
        assert_eq!(contexts.arrive(8), None);
        assert_eq!(contexts.end(8), None);
        assert_eq!(contexts.root_of(8), None);
    }

    #[test]
    fn what_is_announced_and_never_comes_does_not_pile_up() {
        let mut contexts = configured();
        contexts.create(3, 1);
        contexts.arrive(3);
        for context in 10..10 + 5 * MAX_ANNOUNCED as u32 {
            contexts.create(context, 1);
        }
        assert_eq!(contexts.announced.len(), MAX_ANNOUNCED);
        assert_eq!(contexts.request(3).copied(), Some("first"), "a live request stays");
        assert_eq!(contexts.arrive(10), None);
        assert!(contexts.arrive(9 + 5 * MAX_ANNOUNCED as u32).is_some());
    }
}
