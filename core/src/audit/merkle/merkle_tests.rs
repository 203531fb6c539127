use proptest::prelude::*;

use super::*;
use crate::audit::hex;

/// The leaves and roots of the reference implementation of RFC 6962
/// (`google/certificate-transparency`, `merkletree/merkle_tree_test.cc`).
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
/// Its proofs: leaf, size, path; and old size, size, proof.
const PATHS: [(u64, u64, &[&str]); 4] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
];
const CONSISTENCY: [(u64, u64, &[&str]); 3] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

fn of_hex(text: &str) -> NodeHash {
    NodeHash(hex::decode(text).unwrap())
}

fn leaf(index: u64) -> NodeHash {
    NodeHash::leaf(&index.to_be_bytes())
}

/// `MTH` of RFC 6962 section 2.1, word for word.
fn mth(leaves: &[NodeHash]) -> NodeHash {
    match leaves {
        [] => NodeHash::of_nothing(),
        [one] => *one,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            NodeHash::parent(mth(&leaves[..k]), mth(&leaves[k..]))
        }
    }
}

fn leaves(size: u64) -> Vec<NodeHash> {
    (0..size).map(leaf).collect()
}

fn node_of(all: &[NodeHash], node: Node) -> NodeHash {
    let first = usize::try_from(node.first()).unwrap();
    mth(&all[first..first + usize::try_from(node.width()).unwrap()])
}

fn proven(plan: &ProofPlan, all: &[NodeHash]) -> Vec<NodeHash> {
    let hashes: Vec<_> = plan.nodes().iter().map(|it| node_of(all, *it)).collect();
    plan.proof(&hashes).unwrap()
}

#[test]
fn roots_are_those_of_the_reference_implementation() {
    let mut tree = Frontier::new();
    assert_eq!(tree.root(), of_hex(ROOTS[0]));
    for (at, bytes) in LEAVES.iter().enumerate() {
        tree.push(NodeHash::leaf(bytes)).unwrap();
        assert_eq!(tree.root(), of_hex(ROOTS[at + 1]));
    }
}

#[test]
fn proofs_are_those_of_the_reference_implementation() {
    let all: Vec<_> = LEAVES.iter().map(|it| NodeHash::leaf(it)).collect();
    let root = |size: u64| of_hex(ROOTS[usize::try_from(size).unwrap()]);
    for (index, size, path) in PATHS {
        let path: Vec<_> = path.iter().map(|it| of_hex(it)).collect();
        assert_eq!(proven(&ProofPlan::inclusion(index, size).unwrap(), &all), path);
        let leaf = all[usize::try_from(index).unwrap()];
        assert_eq!(verify_inclusion(leaf, index, size, &path, root(size)), Ok(()));
    }
    for (old, size, proof) in CONSISTENCY {
        let proof: Vec<_> = proof.iter().map(|it| of_hex(it)).collect();
        assert_eq!(proven(&ProofPlan::consistency(old, size).unwrap(), &all), proof);
        assert_eq!(verify_consistency(old, root(old), size, root(size), &proof), Ok(()));
    }
}

#[test]
fn every_small_proof_proves_that_and_nothing_else() {
    let all = leaves(40);
    let roots: Vec<_> = (0..=40).map(|size| mth(&all[..size])).collect();
    let root = |size: u64| roots[usize::try_from(size).unwrap()];
    for size in 0..=40u64 {
        for index in 0..size {
            let path = proven(&ProofPlan::inclusion(index, size).unwrap(), &all);
            let check =
                |at, size, path: &[_]| verify_inclusion(leaf(index), at, size, path, root(size));
            assert_eq!(check(index, size, &path), Ok(()));
            for other in (0..size).filter(|it| *it != index) {
                assert_ne!(check(other, size, &path), Ok(()), "{index} as {other} of {size}");
            }
            assert_ne!(check(index, size, &[&path[..], &[leaf(0)]].concat()), Ok(()));
            if let Some((_, short)) = path.split_last() {
                assert_ne!(check(index, size, short), Ok(()));
            }
        }
        for old in 0..=size {
            let proof = proven(&ProofPlan::consistency(old, size).unwrap(), &all);
            let check =
                |a: NodeHash, b: NodeHash, proof: &[_]| verify_consistency(old, a, size, b, proof);
            assert_eq!(check(root(old), root(size), &proof), Ok(()), "{old} of {size}");
            assert_ne!(check(leaf(99), root(size), &proof), Ok(()));
            if old > 0 {
                assert_ne!(check(root(old), leaf(99), &proof), Ok(()), "{old} of {size}");
            }
            assert_ne!(check(root(old), root(size), &[&proof[..], &[leaf(0)]].concat()), Ok(()));
            if let Some((_, short)) = proof.split_last() {
                assert_ne!(check(root(old), root(size), short), Ok(()));
            }
        }
    }
}

#[test]
fn what_is_not_in_the_tree_has_no_proof() {
    assert_eq!(ProofPlan::inclusion(5, 5), Err(BadProof::Range(5, 5)));
    assert_eq!(ProofPlan::consistency(6, 5), Err(BadProof::Range(6, 5)));
    assert_eq!(ProofPlan::inclusion(0, MAX_SIZE + 1), Err(BadProof::Range(0, MAX_SIZE + 1)));
    assert!(ProofPlan::inclusion(0, MAX_SIZE).is_ok());
    let plan = ProofPlan::inclusion(3, 7).unwrap();
    assert_eq!(plan.proof(&[]), Err(BadProof::Length));
    assert_eq!(plan.proof(&vec![leaf(0); plan.nodes().len() + 1]), Err(BadProof::Length));
}

#[test]
fn tiles_have_the_paths_of_tlog_tiles() {
    let path = |level, index, width| TileId { level, index }.path(width);
    assert_eq!(path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(path(0, 0, 256), "tile/0/000");
    assert_eq!(path(1, 1000, 3), "tile/1/x001/000.p/3");
}

#[test]
fn a_node_is_found_in_its_tile() {
    let all = leaves(600);
    let tile = Tile::new(TileId { level: 0, index: 1 }, all[256..512].to_vec()).unwrap();
    assert!(tile.is_full());
    assert_eq!(Tile::from_bytes(tile.id(), &tile.to_bytes()).as_ref(), Ok(&tile));
    for level in 0..8u8 {
        for index in (256u64 >> level)..(512 >> level) {
            let node = Node { level, index };
            assert_eq!(TileId::of(node), tile.id());
            assert_eq!(tile.node(node), Some(node_of(&all, node)));
        }
    }
    assert_eq!(tile.node(tile.id().top()), Some(mth(&all[256..512])));
    assert_eq!(TileId::of(tile.id().top()), TileId { level: 1, index: 0 });
    for (level, index) in [(0, 255), (0, 512), (7, 1), (8, 0), (9, 0), (53, 0), (200, 7)] {
        assert_eq!(tile.node(Node { level, index }), None, "{level} {index}");
    }
    let part = Tile::new(TileId { level: 0, index: 2 }, all[512..600].to_vec()).unwrap();
    assert_eq!(part.node(Node { level: 3, index: 64 }), Some(mth(&all[512..520])));
    assert_eq!(part.node(Node { level: 8, index: 2 }), None);
    let id = TileId { level: 0, index: 2 };
    assert_eq!([id.entries(512), id.entries(600), id.entries(9000)], [0, 88, 256]);
    assert_eq!(TileId { level: 1, index: 0 }.entries(600), 2);
    assert_eq!(Tile::from_bytes(id, &[0; 33]), Err(BadTile(33)));
    assert_eq!(Tile::from_bytes(id, &[]), Err(BadTile(0)));
    assert_eq!(Tile::from_bytes(id, &[0; 257 * 32]), Err(BadTile(257 * 32)));
}

#[test]
fn a_frontier_takes_only_what_fits() {
    let mut tree = Frontier::new();
    tree.push(leaf(0)).unwrap();
    assert_eq!(tree.push_subtree(1, leaf(1)), Err(BadFrontier::Place { size: 1, level: 1 }));
    assert_eq!(tree.push_subtree(64, leaf(1)), Err(BadFrontier::Place { size: 1, level: 64 }));
    let full = Frontier::from_nodes(MAX_SIZE, vec![leaf(0)]).unwrap();
    assert!(full.clone().push(leaf(1)).is_err());
    assert!(Frontier::from_nodes(MAX_SIZE + 1, vec![leaf(0); 2]).is_err());
    assert!(Frontier::from_nodes(3, vec![leaf(0)]).is_err());
    assert!(Frontier::from_bytes(1, &[0; 31]).is_err());
    assert!(Frontier::from_bytes(0, &[]).is_ok());
}

proptest! {
    #[test]
    fn a_tree_of_leaves_and_subtrees_has_the_root_of_its_leaves(
        size in 0..300u64, first in 0..300u64, end in 0..300u64,
    ) {
        let all = leaves(size);
        let (first, end) = (first.min(size), end.min(size).max(first.min(size)));
        let mut tree = Frontier::new();
        for index in 0..first {
            tree.push(leaf(index)).unwrap();
        }
        let mut at = first;
        for node in Node::cover(first, end) {
            prop_assert_eq!(node.first(), at);
            at += node.width();
            tree.push_subtree(node.level, node_of(&all, node)).unwrap();
        }
        prop_assert_eq!(at, end);
        tree = Frontier::from_bytes(tree.size(), &tree.to_bytes()).unwrap();
        for index in end..size {
            tree.push(leaf(index)).unwrap();
        }
        prop_assert_eq!(tree.root(), mth(&all));
        let nodes = Node::cover(0, size).into_iter().map(|it| node_of(&all, it));
        prop_assert_eq!(tree.nodes(), nodes.collect::<Vec<_>>());
    }

    #[test]
    fn a_cover_that_grows_is_that_of_its_leaves(size in 0..200u64, first in 0..200u64) {
        let (all, first) = (leaves(size), first.min(size));
        let mut cover = Cover::starting_at(first);
        for leaf in all.iter().skip(usize::try_from(first).unwrap()) {
            cover.push(*leaf);
        }
        let expected = Node::cover(first, size).into_iter().map(|it| node_of(&all, it));
        prop_assert_eq!(cover.hashes().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        prop_assert_eq!(cover.range(), (first, size));
    }

    #[test]
    fn large_covers_are_whole_and_short(a in 0..=MAX_SIZE, b in 0..=MAX_SIZE) {
        let (first, end) = (a.min(b), a.max(b));
        let cover = Node::cover(first, end);
        prop_assert!(cover.len() <= 106);
        let mut at = first;
        for node in cover {
            prop_assert_eq!(node.first(), at);
            at += node.width();
        }
        prop_assert_eq!(at, end);
    }
}
