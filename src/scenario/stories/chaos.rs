//! What breaks, and what must not.

use crate::cluster::{DiskFault, LinkEffect};
use crate::scenario::{Stage, Told};

pub(in crate::scenario) async fn leader_failure(stage: &mut Stage) -> Told {
    for _ in 0..4 {
        stage.acknowledged(60).await?;
        let leader = stage.leader().await?;
        stage.kill(&[leader]).await?;
        stage.acknowledged(60).await?;
        stage.restart(&[leader]).await?;
    }
    Ok(())
}

pub(in crate::scenario) async fn network_partition(stage: &mut Stage) -> Told {
    stage.acknowledged(60).await?;
    let leader = stage.leader().await?;
    let minority = stage.group_with(leader, stage.faults());
    let majority = stage.others(&minority);
    stage.connect_only(&[minority.clone(), majority.clone()]).await?;
    stage.other_leader(leader).await?;
    stage.acknowledged(100).await?;
    stage.refuses_writes(&minority).await?;
    for id in &majority {
        stage.reads_from(*id).await?;
    }
    stage.heal().await?;
    stage.caught_up(&minority).await?;
    stage.acknowledged(60).await?;

    // Now the leader stays with the majority, and must not be disturbed by those who come back.
    let leader = stage.leader().await?;
    let minority: Vec<u64> = stage.others(&[leader]).into_iter().take(stage.faults()).collect();
    stage.connect_only(&[minority.clone(), stage.others(&minority)]).await?;
    stage.acknowledged(100).await?;
    stage.heal().await?;
    stage.caught_up(&minority).await
}

pub(in crate::scenario) async fn partition_shapes(stage: &mut Stage) -> Told {
    let leader = stage.leader().await?;
    stage.connect_only(&[vec![leader], stage.others(&[leader])]).await?;
    stage.acknowledged(60).await?;
    stage.heal().await?;
    stage.acknowledged(30).await?;

    // One side of a bridge is a quorum with it: once with the leader on a side, once as the bridge. The other side
    // hears nothing of the leader unless it is the bridge.
    for leader_is_bridge in [false, true] {
        let leader = stage.leader().await?;
        let others = stage.others(&[leader]);
        let bridge = if leader_is_bridge { leader } else { others[0] };
        let rest = stage.others(&[bridge]);
        let (mut near, mut far) = (rest.clone(), vec![bridge]);
        far.extend(near.split_off(rest.len() - stage.faults()));
        near.push(bridge);
        stage.connect_only(&[near, far]).await?;
        stage.acknowledged(60).await?;
        stage.heal().await?;
        stage.acknowledged(30).await?;
    }

    // Everyone misses only as many as the cluster tolerates, and no two miss the same.
    let nodes = stage.nodes();
    let reach = nodes.len() - stage.faults();
    let arc = |start: usize| nodes.iter().cycle().skip(start).take(reach.div_ceil(2)).copied().collect();
    let ring: Vec<Vec<u64>> = (0..nodes.len()).map(arc).collect();
    stage.connect_only(&ring).await?;
    stage.acknowledged(60).await?;
    stage.heal().await?;
    stage.caught_up(&nodes).await
}

pub(in crate::scenario) async fn unreliable_links(stage: &mut Stage) -> Told {
    let nodes = stage.nodes();
    for effect in [
        LinkEffect::Lose(50),
        LinkEffect::Duplicate(200),
        LinkEffect::Reorder { per_mille: 200, by_ms: 10 },
        LinkEffect::Delay { by_ms: 1, jitter_ms: 10 },
    ] {
        stage.link(&nodes, &nodes, effect).await?;
    }
    stage.acknowledged(60).await?;
    stage.heal().await?;
    stage.caught_up(&nodes).await?;

    // Nobody hears the leader, which hears everybody; then the other way round.
    let leader = stage.leader().await?;
    stage.link(&[leader], &stage.others(&[leader]), LinkEffect::CUT).await?;
    stage.other_leader(leader).await?;
    stage.acknowledged(60).await?;
    stage.heal().await?;
    stage.caught_up(&nodes).await?;
    let leader = stage.leader().await?;
    stage.link(&stage.others(&[leader]), &[leader], LinkEffect::CUT).await?;
    stage.acknowledged(60).await?;
    stage.heal().await?;
    stage.caught_up(&nodes).await
}

pub(in crate::scenario) async fn pause(stage: &mut Stage) -> Told {
    for _ in 0..3 {
        stage.acknowledged(50).await?;
        let leader = stage.leader().await?;
        stage.pause(&[leader]).await?;
        stage.other_leader(leader).await?;
        stage.acknowledged(50).await?;
        stage.resume_into_reads(leader).await?;
        stage.reads_from(leader).await?;
        stage.caught_up(&[leader]).await?;
    }
    Ok(())
}

pub(in crate::scenario) async fn disk(stage: &mut Stage) -> Told {
    let leader = stage.leader().await?;
    let follower = stage.others(&[leader])[0];
    stage.disk(follower, DiskFault::Slow(100)).await?;
    stage.acknowledged(60).await?;
    stage.disk(follower, DiskFault::Ok).await?;
    stage.disk(leader, DiskFault::Slow(100)).await?;
    stage.acknowledged(30).await?;
    stage.disk(leader, DiskFault::Ok).await?;

    let leader = stage.leader().await?;
    stage.disk(leader, DiskFault::Stall).await?;
    stage.other_leader(leader).await?;
    stage.acknowledged(60).await?;
    stage.disk(leader, DiskFault::Ok).await?;
    stage.caught_up(&[leader]).await?;

    for _ in 0..2 {
        let leader = stage.leader().await?;
        stage.disk(leader, DiskFault::Fail).await?;
        stage.failed(leader).await?;
        stage.acknowledged(60).await?;
        stage.disk(leader, DiskFault::Ok).await?;
        stage.restart(&[leader]).await?;
        stage.caught_up(&[leader]).await?;
    }
    Ok(())
}
