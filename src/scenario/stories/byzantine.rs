//! What holds where replicas may lie.

use std::time::Duration;

use crate::cluster::{DiskFault, Lie};
use crate::consensus::{Behaviour, Role};
use crate::scenario::{Failure, Stage, Told};

pub(in crate::scenario) async fn normal_operation(stage: &mut Stage) -> Told {
    stage.acknowledged(300).await?;
    stage.healthy().await?;
    let nodes = stage.nodes();
    stage.caught_up(&nodes).await?;
    for id in nodes {
        stage.reads_from(id).await?;
    }
    Ok(())
}

pub(in crate::scenario) async fn byzantine_tolerance(stage: &mut Stage) -> Told {
    stage.liars_are_named().await?;
    stage.acknowledged(300).await?;
    let honest = stage.honest();
    stage.caught_up(&honest).await?;
    for id in honest {
        stage.reads_from(id).await?;
    }
    Ok(())
}

pub(in crate::scenario) async fn lying_primary(stage: &mut Stage) -> Told {
    stage.liars_are_named().await?;
    for liar in stage.liars() {
        stage.other_leader(liar).await?;
    }
    stage.acknowledged(200).await?;
    let honest = stage.honest();
    stage.caught_up(&honest).await
}

pub(in crate::scenario) async fn primary_killed(stage: &mut Stage) -> Told {
    // Once around: each replica has been the primary, and each was killed as such.
    for _ in stage.nodes() {
        stage.acknowledged(40).await?;
        let primary = stage.leader().await?;
        stage.kill(&[primary]).await?;
        stage.other_leader(primary).await?;
        stage.acknowledged(40).await?;
        stage.restart(&[primary]).await?;
        stage.caught_up(&[primary]).await?;
    }
    Ok(())
}

pub(in crate::scenario) async fn primary_partitioned(stage: &mut Stage) -> Told {
    for _ in 0..2 {
        stage.acknowledged(60).await?;
        let primary = stage.leader().await?;
        stage.connect_only(&[vec![primary], stage.others(&[primary])]).await?;
        stage.other_leader(primary).await?;
        stage.acknowledged(80).await?;
        stage.refuses_writes(&[primary]).await?;
        stage.heal().await?;
        stage.caught_up(&[primary]).await?;
    }
    Ok(())
}

pub(in crate::scenario) async fn all_killed_and_restarted(stage: &mut Stage) -> Told {
    const TIMES: usize = 5;
    let nodes = stage.nodes();
    for _ in 0..TIMES {
        stage.acknowledged(60).await?;
        stage.kill(&nodes).await?;
        stage.restart(&nodes).await?;
        stage.reads_from(nodes[0]).await?;
    }
    // And while they are on their way to another view. A VIEW-CHANGE leaves once it is durable: as long as more disks
    // stall than faults are tolerated, nobody gets enough of them, and whoever wants another view goes on to want it.
    stage.acknowledged(40).await?;
    let primary = stage.leader().await?;
    let stalled: Vec<u64> = stage.others(&[primary]).into_iter().take(stage.faults() + 1).collect();
    for id in &stalled {
        stage.disk(*id, DiskFault::Stall).await?;
    }
    stage
        .until("a replica wants another view", |status| {
            status.nodes.iter().any(|node| node.role.as_deref() == Some(Role::Candidate.name()))
        })
        .await?;
    stage.kill(&nodes).await?;
    for id in stalled {
        stage.disk(id, DiskFault::Ok).await?;
    }
    stage.restart(&nodes).await?;
    stage.acknowledged(40).await
}

pub(in crate::scenario) async fn rejoin_after_garbage_collection(stage: &mut Stage) -> Told {
    stage.acknowledged(50).await?;
    let primary = stage.leader().await?;
    let away = stage.others(&[primary])[0];
    stage.kill(&[away]).await?;
    let held = stage.last_of(primary).await?;
    stage.snapshot_beyond(held).await?;
    stage.restart(&[away]).await?;
    stage.caught_up(&[away]).await?;
    // And what it was given is on its disk: it starts from there.
    stage.kill(&[away]).await?;
    stage.restart(&[away]).await?;
    stage.caught_up(&[away]).await?;
    stage.reads_from(away).await
}

/// The liar is the first primary, and goes through all that it can do while the view moves on. What the callers of the
/// gateway were told is judged with everything else.
pub(in crate::scenario) async fn gateway(stage: &mut Stage) -> Told {
    const CALLERS: u64 = 4;
    const TIMES: u64 = 15;
    let gateway = stage.open_gateway().await?;
    let liars = stage.liars();
    for way in stage.protocol().behaviours.iter().map(|behaviour| behaviour.name) {
        stage.lie(&liars, Lie::always(Some(way.to_owned()))).await?;
        let version = stage.write_through(&gateway, CALLERS, (way, TIMES)).await?;
        let once = format!("each of the {} writes under {way} is executed once", CALLERS * TIMES);
        stage.expect(version == (CALLERS * TIMES) as i64, &once, format!("the key has version {version}"))?;
    }
    let honest = stage.honest();
    stage.caught_up(&honest).await
}

pub(in crate::scenario) async fn two_clients_one_key(stage: &mut Stage) -> Told {
    const WRITES: u64 = 60;
    let names = ["left", "right"];
    for (name, version) in names.iter().zip(stage.write_alone(&names, WRITES).await?) {
        let once = format!("each of the {WRITES} writes of {name} is executed once");
        stage.expect(version == WRITES as i64, &once, format!("its key has version {version}"))?;
    }
    stage.acknowledged(60).await
}

/// By the cast, the first primary lies. The evidence that it leaves comes while it lies and clients go on to ask: as
/// primary, or as the backup that it is after the view change.
pub(in crate::scenario) async fn one_way_to_lie(stage: &mut Stage) -> Told {
    let Some((_, how)) = stage.cast().first().copied() else { return Ok(()) };
    stage.liars_are_named().await?;
    stage.acknowledged(60).await?;
    let honest = stage.honest();
    stage.caught_up(&honest).await?;
    stage.convicted(&stage.liars(), how).await?;
    stage.all_honest().await?;
    let nodes = stage.nodes();
    stage.caught_up(&nodes).await?;
    // What the first liar said still counts: with what the next one says there would be two of them. A restart forgets
    // it, except for what it proves.
    stage.restart(&nodes).await?;
    stage.acknowledged(20).await?;
    stage.convicted(&[1], how).await?;

    let primary = stage.leader().await?;
    let backup = stage.others(&[primary, 1])[0];
    stage.lie(&[backup], Lie::always(Some(how.to_owned()))).await?;
    stage.liars_are_named().await?;
    stage.acknowledged(60).await?;
    let honest = stage.honest();
    stage.caught_up(&honest).await?;
    stage.convicted(&[backup], how).await?;
    stage.all_honest().await?;
    stage.acknowledged(20).await
}

/// Whether somebody who lies so can be told which keys are meant.
pub(in crate::scenario) fn is_aimed_at_keys(behaviour: &Behaviour) -> bool {
    behaviour.aim.is_some_and(|aim| aim.contains("key="))
}

pub(in crate::scenario) async fn neglected_client(stage: &mut Stage) -> Told {
    const WRITES: u64 = 20;
    let names = ["neglected", "served"];
    let neglect = stage.protocol().behaviours.iter().find(|behaviour| is_aimed_at_keys(behaviour));
    let neglect = neglect.map(|behaviour| behaviour.name.to_owned());
    let lie = Lie { aim: Some(format!("key={}", names[0])), ..Lie::always(neglect) };
    let primary = stage.leader().await?;
    stage.lie(&[primary], lie).await?;
    for (name, version) in names.iter().zip(stage.write_alone(&names, WRITES).await?) {
        let once = format!("each of the {WRITES} writes of {name} is executed once");
        stage.expect(version == WRITES as i64, &once, format!("its key has version {version}"))?;
    }
    stage.all_honest().await?;
    stage.acknowledged(20).await
}

pub(in crate::scenario) async fn comes_and_goes(stage: &mut Stage) -> Told {
    stage.acknowledged(40).await?;
    let primary = stage.leader().await?;
    let backup = stage.others(&[primary])[0];
    for liar in [primary, backup, primary] {
        stage.lie(&[liar], Lie::always(None)).await?;
        stage.acknowledged(40).await?;
        stage.all_honest().await?;
        stage.caught_up(&[liar]).await?;
    }
    Ok(())
}

/// Replicas are honest, and some clients are not: nobody is convicted of what a client did. What is asked of a primary goes
/// before what is asked of others; with the next primary it is the other half of the replicas that is served.
pub(in crate::scenario) async fn faulty_clients(stage: &mut Stage) -> Told {
    const TIMES: i64 = 15;
    stage.acknowledged(20).await?;
    let impostors = stage.impostors()?;
    let once = "of two writes under one name one is executed, once";
    let version = stage.toss("coin", TIMES).await?;
    stage.expect(version == TIMES, once, format!("the key has version {version} after {TIMES} pairs"))?;
    stage.acknowledged(40).await?;
    let primary = stage.leader().await?;
    stage.kill(&[primary]).await?;
    stage.other_leader(primary).await?;
    let version = stage.toss("coin", TIMES).await?;
    stage.expect(version == 2 * TIMES, once, format!("the key has version {version} after as many more"))?;
    stage.restart(&[primary]).await?;
    stage.acknowledged(40).await?;
    stage.were_ignored(impostors).await?;
    let nodes = stage.nodes();
    stage.caught_up(&nodes).await?;
    stage.acknowledged(20).await
}

/// How long clients try where nothing is promised.
const IN_VAIN: Duration = Duration::from_secs(3);

pub(in crate::scenario) async fn too_many(stage: &mut Stage) -> Told {
    stage.liars_are_named().await?;
    let status =
        stage.until("the status warns of so many liars", |status| !status.warnings.is_empty()).await?;
    let warning = status.warnings.join("; ");
    if !warning.contains("outside the fault model") {
        return Err(Failure::new("the status says what so many liars mean", warning));
    }
    stage.acknowledged_or_not(60, IN_VAIN).await;
    Ok(())
}
