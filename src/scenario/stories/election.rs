//! Who leads.

use crate::scenario::{Stage, Told};

pub(in crate::scenario) async fn leader_election(stage: &mut Stage) -> Told {
    let nodes = stage.nodes().len();
    let agreed = stage
        .until("all nodes name one leader of one epoch", |status| {
            let named = |node: &crate::cluster::NodeStatus| (node.leader, node.epoch);
            let first = status.nodes.first().map(named);
            status.leader.is_some() && status.nodes.iter().all(|node| Some(named(node)) == first)
        })
        .await?;
    let leading = agreed.nodes.iter().filter(|node| node.role.as_deref() == Some("leader")).count();
    stage.expect(leading == 1, "one node takes itself for the leader", format!("{leading} of {nodes} do"))?;
    stage.acknowledged(200).await
}

pub(in crate::scenario) async fn failover(stage: &mut Stage) -> Told {
    // As many leaders one after the other as may be away at once.
    let mut killed = Vec::new();
    for _ in 0..stage.faults() {
        let leader = stage.leader().await?;
        stage.acknowledged(50).await?;
        stage.kill(&[leader]).await?;
        killed.push(leader);
        stage.other_leader(leader).await?;
        stage.acknowledged(100).await?;
    }
    stage.restart(&killed).await?;
    stage.caught_up(&killed).await
}

pub(in crate::scenario) async fn rejoin(stage: &mut Stage) -> Told {
    let leader = stage.leader().await?;
    let follower = stage.others(&[leader])[0];
    for away in [follower, leader] {
        stage.kill(&[away]).await?;
        stage.acknowledged(100).await?;
        stage.restart(&[away]).await?;
        stage.caught_up(&[away]).await?;
        stage.healthy().await?;
        stage.acknowledged(50).await?;
    }
    Ok(())
}

pub(in crate::scenario) async fn split_vote(stage: &mut Stage) -> Told {
    stage.acknowledged(50).await?;
    let nodes = stage.nodes();
    let (left, right) = nodes.split_at(nodes.len() / 2);
    stage.connect_only(&[left.to_vec(), right.to_vec()]).await?;
    stage.refuses_writes(&nodes).await?;
    stage.heal().await?;
    stage.acknowledged(50).await?;
    for _ in 0..2 {
        // All timers begin at one moment.
        stage.kill(&nodes).await?;
        stage.restart(&nodes).await?;
        stage.leader().await?;
        stage.acknowledged(50).await?;
    }
    Ok(())
}

pub(in crate::scenario) async fn transfer(stage: &mut Stage) -> Told {
    stage.acknowledged(50).await?;
    stage.rolling_restart().await?;
    stage.healthy().await?;
    stage.acknowledged(100).await
}
