//! What is written stays, everywhere, once.

use crate::scenario::{Stage, Told};

pub(in crate::scenario) async fn log_replication(stage: &mut Stage) -> Told {
    stage.acknowledged(400).await?;
    let nodes = stage.nodes();
    stage.caught_up(&nodes).await?;
    for id in nodes {
        stage.reads_from(id).await?;
    }
    Ok(())
}

pub(in crate::scenario) async fn wal_persistence(stage: &mut Stage) -> Told {
    let nodes = stage.nodes();
    for _ in 0..3 {
        stage.acknowledged(100).await?;
        stage.kill(&nodes).await?;
        stage.restart(&nodes).await?;
        // Right after the start, before clients have written anything new.
        stage.reads_from(nodes[0]).await?;
    }
    stage.acknowledged(50).await
}

pub(in crate::scenario) async fn snapshot_catch_up(stage: &mut Stage) -> Told {
    stage.acknowledged(50).await?;
    let leader = stage.leader().await?;
    let away = stage.others(&[leader])[0];
    stage.kill(&[away]).await?;
    // It can hold no more than what the leader holds after its death.
    let held = stage.last_of(leader).await?;
    stage.snapshot_beyond(held).await?;
    stage.restart(&[away]).await?;
    stage.caught_up(&[away]).await?;
    // And what it was given is on its disk: it starts from there.
    stage.kill(&[away]).await?;
    stage.restart(&[away]).await?;
    stage.caught_up(&[away]).await?;
    stage.reads_from(away).await
}

pub(in crate::scenario) async fn exactly_once(stage: &mut Stage) -> Told {
    for _ in 0..3 {
        stage.acknowledged(80).await?;
        let leader = stage.leader().await?;
        // Frozen with requests in its hands, which clients repeat elsewhere; then it wakes and goes on with them.
        stage.pause(&[leader]).await?;
        stage.other_leader(leader).await?;
        stage.resume(&[leader]).await?;
        stage.acknowledged(80).await?;
        let leader = stage.leader().await?;
        stage.kill(&[leader]).await?;
        stage.acknowledged(80).await?;
        stage.restart(&[leader]).await?;
    }
    Ok(())
}
