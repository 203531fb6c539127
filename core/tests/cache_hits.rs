//! A token that was verified before costs no allocation. The allocator of this test
//! counts, so it is in a program of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use kya_core::jwt::{
    CapabilityKeys, CapabilityVerifier, Claims, Presentation, Scope, VerifiedCache, check, mint,
};
use kya_core::{AgentId, CapabilityId, Signer, UnixSeconds};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends allocates too, when its own count is gone.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(mut of: impl FnMut()) -> usize {
    let before = ALLOCATIONS.get();
    of();
    ALLOCATIONS.get() - before
}

#[test]
fn a_hit_and_its_check_allocate_nothing() {
    let signer = Signer::from_seed([2; 32]);
    let keys = CapabilityKeys::new([signer.public_key()]).unwrap();
    let read = "payments.read".parse().unwrap();
    let mut cache = VerifiedCache::new(CapabilityVerifier::new("kya", keys).unwrap());
    let tokens: Vec<_> = (0..100u8)
        .map(|n| {
            let claims = Claims {
                issuer: "kya".into(),
                agent: AgentId::from_bytes([1; 16]),
                subject: None,
                audience: vec!["payments".into()],
                issued: UnixSeconds(100),
                not_before: UnixSeconds(100),
                expires: UnixSeconds(200),
                id: CapabilityId::from_bytes([n; 16]),
                scope: Scope::parse("payments.create payments.read").unwrap(),
                actors: vec![],
                confirmation: None,
            };
            mint(&signer, &claims).unwrap()
        })
        .collect();
    let presented = Presentation { now: UnixSeconds(150), service: "payments", proof: None };
    let mut present = || {
        for token in &tokens {
            let capability = cache.verified(token.reveal().as_bytes()).unwrap();
            check(&capability, &presented).unwrap();
            assert!(capability.claims().scope.allows(Some(&read)));
        }
    };
    assert!(allocations(&mut present) > 0, "the first time each is verified");
    assert_eq!(allocations(&mut present), 0);
}
