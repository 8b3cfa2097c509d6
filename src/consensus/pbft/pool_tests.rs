use super::*;
use crate::consensus::pbft::testing::{CLIENT, Cast};

fn id(counter: u64) -> RequestId {
    RequestId { origin: NodeId(CLIENT), incarnation: 1, counter }
}

/// A pool that knows that the client's command 1 was executed.
fn pool() -> (Pool, Cast) {
    let mut pool = Pool::default();
    pool.on_executed(id(1));
    (pool, Cast::new(4))
}

#[test]
fn what_comes_after_all_that_was_executed_waits_at_once() {
    let (mut pool, cast) = pool();
    let options = Options::default();
    assert_eq!(pool.admit(cast.request([2, 3]), Time::ZERO, &options), Admission::Waits);
    assert_eq!(pool.next_batch(&options).commands(), 2);
    pool.on_executed(id(2));
    assert_eq!(pool.len(), 1, "command 3 is open");
    pool.on_executed(id(3));
    assert!(pool.is_empty() && pool.next_batch(&options).is_null());
    assert_eq!((pool.bytes, pool.by_id.len(), pool.clients.len()), (0, 0, 0));
}

#[test]
fn what_may_have_been_executed_is_asked_for_first() {
    let (mut pool, cast) = pool();
    let options = Options::default();
    let admitted = pool.admit(cast.request([1, 2]), Time::ZERO, &options);
    assert_eq!(admitted, Admission::Ask(vec![id(1), id(2)]));
    assert!(pool.next_batch(&options).is_null() && pool.oldest().is_none(), "nobody waits for it yet");
    assert!(pool.on_recalled(id(1), Some(&None), Time::ZERO).is_empty());
    let settled = pool.on_recalled(id(2), None, Time::ZERO);
    assert_eq!(settled.len(), 1);
    assert!(settled[0].waits);
    assert_eq!(settled[0].results, Results::from([(1, None)]));
    assert_eq!(pool.next_batch(&options).commands(), 2);
}

#[test]
fn what_a_slot_holds_is_not_proposed_again_before_the_next_view() {
    let (mut pool, cast) = pool();
    let options = Options::default();
    pool.admit(cast.request([2]), Time::ZERO, &options);
    let batch = pool.next_batch(&options);
    pool.note_ordered(&batch, Sequence(1));
    assert!(pool.next_batch(&options).is_null());
    assert_eq!(pool.oldest(), Some(Time::ZERO), "it is timed all the same");
    let later = Time::from_origin(Duration::from_secs(1));
    pool.restart(later);
    assert_eq!((pool.next_batch(&options), pool.oldest()), (batch, Some(later)));
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let (mut pool, cast) = pool();
    let options = Options { max_pending_requests: 3, max_client_requests: 2, ..Options::default() };
    assert_eq!(pool.admit(cast.request([2]), Time::ZERO, &options), Admission::Waits);
    assert_eq!(pool.admit(cast.request([3]), Time::ZERO, &options), Admission::Waits);
    let refused = pool.admit(cast.request([4]), Time::ZERO, &options);
    assert!(matches!(refused, Admission::Refused(why) if why.contains("of this client")));
    let options = Options { max_pending_bytes: 1, max_client_requests: 9, ..options };
    let refused = pool.admit(cast.request([4]), Time::ZERO, &options);
    assert!(matches!(refused, Admission::Refused(why) if why.contains("are kept")));
    assert_eq!(pool.admit(cast.request([2]), Time::ZERO, &options), Admission::Waits, "it waits already");
}

#[test]
fn of_a_client_so_many_lives_are_remembered() {
    let mut pool = Pool::default();
    for incarnation in 1..=1000 {
        pool.on_executed(RequestId { origin: NodeId(CLIENT), incarnation, counter: u64::MAX });
    }
    assert_eq!(pool.executed[&NodeId(CLIENT)].len(), MAX_LIVES);
}

#[test]
fn large_requests_of_one_client_leave_room_for_others() {
    let (mut pool, cast) = pool();
    let size = room(&cast.request([2]));
    let options = Options { max_pending_bytes: 2 * CLIENT_SHARE * size, ..Options::default() };
    assert_eq!(pool.admit(cast.request([2]), Time::ZERO, &options), Admission::Waits);
    assert_eq!(pool.admit(cast.request([3]), Time::ZERO, &options), Admission::Waits);
    assert!(matches!(pool.admit(cast.request([4]), Time::ZERO, &options), Admission::Refused(_)));
    pool.on_executed(id(2));
    assert_eq!(pool.admit(cast.request([4]), Time::ZERO, &options), Admission::Waits);
}

#[test]
fn the_store_is_asked_once_about_a_command_that_many_requests_name() {
    let (mut pool, cast) = pool();
    let mut asked = Vec::new();
    for last in 10..30 {
        // Of a life of which nothing is known, and each with two commands that all others have too.
        let body = Request { incarnation: 7, ..cast.request([1, 2, last]).body };
        match pool.admit(cast.signer(CLIENT).sign(body), Time::ZERO, &Options::default()) {
            Admission::Ask(ids) => asked.extend(ids.into_iter().map(|id| id.counter)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(asked, [1, 2].into_iter().chain(10..30).collect::<Vec<_>>());
    let settle = |pool: &mut Pool, counter| {
        let id = RequestId { incarnation: 7, ..id(counter) };
        pool.on_recalled(id, None, Time::ZERO).len()
    };
    assert_eq!([1, 2].map(|counter| settle(&mut pool, counter)), [0, 0]);
    assert_eq!(
        (10..30).map(|counter| settle(&mut pool, counter)).sum::<usize>(),
        20,
        "one answer serves all"
    );
    let body = Request { incarnation: 7, ..cast.request([1, 40]).body };
    let again = pool.admit(cast.signer(CLIENT).sign(body), Time::ZERO, &Options::default());
    assert!(matches!(again, Admission::Ask(ids) if ids.len() == 2), "what was answered may be asked again");
}

#[test]
fn what_a_slot_was_said_to_hold_and_does_not_is_to_be_ordered_again() {
    let (mut pool, cast) = pool();
    let options = Options::default();
    pool.admit(cast.request([2]), Time::ZERO, &options);
    let batch = Batch(vec![cast.request([2]), cast.request([9])]);
    pool.note_ordered(&batch, Sequence(1));
    pool.take_back(&batch);
    assert!(pool.ordered.is_empty());
    assert_eq!(pool.next_batch(&options), Batch(vec![cast.request([2])]));
}

#[test]
fn clients_take_turns_whatever_each_has_waiting() {
    let (mut pool, cast) = pool();
    let options = Options { max_batch_requests: 4, ..Options::default() };
    for counter in 2..100 {
        pool.admit(cast.request([counter]), Time::ZERO, &options);
    }
    let of = |client: u64| {
        let commands = vec![(1, Bytes::from_static(b"put"))];
        let body =
            Request { client: NodeId(client), incarnation: 1, time: crate::consensus::WallTime(1), commands };
        cast.signer(client).sign(body)
    };
    let first = pool.next_batch(&options);
    pool.note_ordered(&first, Sequence(1));
    pool.admit(of(3), Time::ZERO, &options);
    pool.on_recalled(RequestId { origin: NodeId(3), incarnation: 1, counter: 1 }, None, Time::ZERO);
    let clients: Vec<u64> = pool.next_batch(&options).0.iter().map(|request| request.body.client.0).collect();
    assert!(clients[..2].contains(&3), "it does not wait for the 94 that came before: {clients:?}");
}

#[test]
fn what_the_store_was_handed_is_timed_no_more() {
    let (mut pool, cast) = pool();
    let options = Options::default();
    // One is known to be new; of the other the store was asked, and answers after the order has it.
    let new = cast.request([2]);
    let asked = cast.request([1, 3]);
    pool.admit(new.clone(), Time::ZERO, &options);
    pool.admit(asked.clone(), Time::ZERO, &options);
    let batch = Batch(vec![new, asked]);
    pool.note_ordered(&batch, Sequence(1));
    assert_eq!(pool.oldest(), Some(Time::ZERO), "the slot may come to nothing");
    pool.forget_ordered(&batch, Sequence(1));
    assert_eq!((pool.oldest(), pool.len()), (None, 2));
    assert!(pool.on_recalled(id(1), Some(&None), Time::ZERO).is_empty());
    let settled = pool.on_recalled(id(3), None, Time::ZERO);
    assert_eq!(settled[0].results, Results::from([(1, None)]), "what is known is told");
    pool.restart(Time::ZERO);
    assert!(pool.oldest().is_none() && pool.next_batch(&options).is_null(), "not in the next view, either");
    pool.on_executed(id(2));
    pool.on_executed(id(3));
    pool.on_applied(Sequence(1));
    assert!(pool.is_empty() && pool.executing.is_empty());
}

#[test]
fn what_a_state_did_not_bring_waits_anew() {
    let (mut pool, cast) = pool();
    pool.admit(cast.request([2]), Time::ZERO, &Options::default());
    let batch = pool.next_batch(&Options::default());
    pool.note_ordered(&batch, Sequence(1));
    pool.forget_ordered(&batch, Sequence(1));
    pool.forget_ordered_up_to(Sequence::ZERO);
    assert!(pool.awaited().eq([id(2)]));
    assert!(pool.on_recalled(id(2), None, Time::ZERO)[0].waits);
    assert_eq!((pool.oldest(), pool.next_batch(&Options::default())), (Some(Time::ZERO), batch));
}
