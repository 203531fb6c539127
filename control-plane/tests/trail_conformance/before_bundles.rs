//! A database from before there were bundles: its records stay rows, and the trail goes on in
//! bundles.

use std::sync::Arc;

use kya_control_plane::store::audit::{CheckpointRow, KeyRow, RecordFilter, StoredLine, TrailHead};
use kya_core::audit::ChainHash;
use kya_core::audit::merkle::{NodeHash, Tile, TileId, verify_inclusion};
use serde_json::json;

use super::{Opened, agent, all_lines, archive, batch, check_pages, ended, paged, root};

/// What the tests of a database from before there were bundles make it of.
pub struct Donor {
    pub head: TrailHead,
    pub lines: Vec<StoredLine>,
    pub tiles: Vec<Tile>,
    pub checkpoint: CheckpointRow,
    pub key: KeyRow,
}

pub async fn donor(it: &Opened) -> Donor {
    let some = (0..599u32).map(|n| ended(u8::try_from(n % 3).unwrap()));
    it.report(batch("web-1", 9, 1, some.collect())).await;
    it.trail.finish().await;
    let store = it.trail.store();
    let ids = [0, 1].map(|index| TileId { level: 0, index });
    let mut tiles: Vec<_> = store.tiles(&ids).await.unwrap().into_values().collect();
    tiles.sort_by_key(|tile| tile.id().index);
    assert_eq!(tiles.len(), 2);
    Donor {
        head: store.head().await.unwrap(),
        lines: all_lines(&**store).await,
        tiles,
        checkpoint: store.checkpoint(None).await.unwrap().unwrap(),
        key: store.keys().await.unwrap().remove(0),
    }
}

/// Writes it as it was written before there were bundles.
macro_rules! write_old {
    ($raw:expr, $donor:expr) => {{
        let (raw, it) = ($raw, $donor);
        let head = &it.head;
        sqlx::query("INSERT INTO audit_head VALUES (1, $1, $2, $3, $4, $5, 0, 0, 0, $6, $7)")
            .bind(head.origin.as_str())
            .bind(head.size.cast_signed())
            .bind(head.hash.0.to_vec())
            .bind(head.edge.clone())
            .bind(head.recorded.0.cast_signed())
            .bind(head.checkpoint.0.cast_signed())
            .bind(head.checkpoint.1.0.cast_signed())
            .execute(raw)
            .await
            .unwrap();
        for tile in &it.tiles {
            sqlx::query("INSERT INTO audit_tiles VALUES ($1, $2, $3)")
                .bind(i64::from(tile.id().level))
                .bind(tile.id().index.cast_signed())
                .bind(tile.to_bytes())
                .execute(raw)
                .await
                .unwrap();
        }
        sqlx::query("INSERT INTO audit_checkpoints VALUES ($1, $2, $3)")
            .bind(it.checkpoint.size.cast_signed())
            .bind(it.checkpoint.signed.0.cast_signed())
            .bind(it.checkpoint.note.as_str())
            .execute(raw)
            .await
            .unwrap();
        sqlx::query("INSERT INTO audit_keys VALUES ($1, $2)")
            .bind(it.key.seq.cast_signed())
            .bind(it.key.verifier_key.as_str())
            .execute(raw)
            .await
            .unwrap();
    }};
}
pub(crate) use write_old;

/// The same, of the records; before the head.
macro_rules! write_old_records {
    ($raw:expr, $donor:expr) => {
        for line in &$donor.lines {
            let record: serde_json::Value = serde_json::from_str(&line.record).unwrap();
            let text = |name: &str| record[name].as_str().map(str::to_owned);
            let micros = |name: &str| {
                let time = serde_json::from_value::<Timestamp>(record[name].clone()).unwrap();
                time.0.cast_signed()
            };
            sqlx::query(
                "INSERT INTO audit_records
                 VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, NULL, $8, $9)",
            )
            .bind(line.seq.cast_signed())
            .bind(text("type"))
            .bind(micros("time"))
            .bind(micros("recorded"))
            .bind(text("agent_id"))
            .bind(text("action"))
            .bind(text("decision"))
            .bind(line.record.as_str())
            .bind(line.hash.0.to_vec())
            .execute($raw)
            .await
            .unwrap();
        }
    };
}
pub(crate) use write_old_records;

/// A trail whose first records are rows, those of the donor, goes on in bundles.
pub async fn check_that_an_old_trail_goes_on(it: &Opened, donor: &Donor) {
    let store = Arc::clone(it.trail.store());
    assert_eq!(all_lines(&*store).await, donor.lines);
    assert_eq!(it.records().await.len(), 600);
    // Of the worker nothing is known here: it begins again.
    it.report(batch(
        "web-2",
        9,
        1,
        (0..299u32).map(|n| ended(u8::try_from(n % 3).unwrap())).collect(),
    ))
    .await;
    it.trail.finish().await;
    assert_eq!(it.records().await.len(), 899);
    let all = all_lines(&*store).await;
    let whole = RecordFilter::all(1, u64::MAX);
    let of = RecordFilter { agent_id: Some(agent(1).to_string()), ..whole.clone() };
    let id = json!(agent(1).to_string());
    assert_eq!(check_pages(&*store, &all, &whole, |_| true).await, 899);
    assert_eq!(check_pages(&*store, &all, &of, |it| it["agent_id"] == id).await, 300);
    let around = RecordFilter { first: 590, last: 610, ..of };
    assert_eq!(check_pages(&*store, &all, &around, |it| it["agent_id"] == id).await, 7);
    let seams = RecordFilter { kind: Some("key".to_owned()), with_seams: true, ..whole };
    assert_eq!(paged(&*store, &seams, 10).await.len(), 1);
    for seq in [1, 599, 600, 601, 899] {
        let proof = it.trail.inclusion(seq, 899).await.unwrap();
        let leaf = NodeHash::leaf(all[usize::try_from(seq).unwrap() - 1].record.as_bytes());
        let root = root(&all);
        verify_inclusion(leaf, seq - 1, 899, &proof, root).unwrap();
    }
    // Archived across the seam.
    archive(it, 1, 700).await;
    let seqs: Vec<_> = all_lines(&*store).await.iter().map(|line| line.seq).collect();
    assert_eq!(seqs, [1].into_iter().chain(700..=900).collect::<Vec<_>>());
    let hash = store.hash(700).await.unwrap();
    assert_eq!(hash, Some(all[699].hash));
    assert_ne!(hash, Some(ChainHash::START));
}
