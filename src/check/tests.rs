//! The checker against generated histories: good ones pass, and what is broken on purpose is found.

mod generate;

use generate::{Bug, Generated, Plan, generate};
use proptest::prelude::*;

use super::{Header, History, Limits, Recorder, Rule, Verdict, check, check_with};

const STEPS: u64 = 5_000_000;

fn verdict(history: &History) -> Verdict {
    check(history, &Limits::steps(STEPS))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn generated_histories_of_a_correct_store_pass(
        seed: u64,
        operations in 1_usize..300,
        clients in 1_u64..8,
        keys in 1_u64..12,
        unknown_percent in prop::sample::select(vec![0_u64, 2, 10, 40]),
    ) {
        let plan = Plan { seed, operations, clients, keys, unknown_percent, bug: None };
        let history = generate(&plan).history;
        let verdict = verdict(&history);
        prop_assert!(matches!(verdict, Verdict::Passed(_)), "{plan:?}: {verdict:?}");
    }

    #[test]
    fn a_true_witness_saves_the_search(seed: u64, clients in 1_u64..20, unknown_percent in 0_u64..90) {
        let plan = Plan { seed, operations: 600, clients, keys: 10, unknown_percent, bug: None };
        let Generated { history, witness, .. } = generate(&plan);
        match check_with(&history, &witness, &Limits::steps(STEPS)) {
            Verdict::Passed(summary) => prop_assert_eq!(summary.backtracks, 0, "{:?}", plan),
            other => prop_assert!(false, "{plan:?}: {other:?}"),
        }
    }

    #[test]
    fn a_history_survives_its_file(seed: u64, operations in 0_usize..60) {
        let plan = Plan { seed, operations, unknown_percent: 10, ..Plan::default() };
        let history = generate(&plan).history;
        let file = history.write(Vec::new()).unwrap();
        prop_assert_eq!(History::read(&file[..]).unwrap(), history);
    }

    #[test]
    fn arbitrary_bytes_are_an_error_and_no_panic(bytes: Vec<u8>) {
        prop_assert!(History::read(&bytes[..]).is_err());
    }
}

/// Plants `bug` once in each of many runs. Where it did harm (the generator knows) it must be found.
fn is_caught(bug: Bug, unknown_percent: u64) {
    let mut harmed = 0;
    for seed in 0..60 {
        let plan = Plan { seed, operations: 200, unknown_percent, bug: Some(bug), ..Plan::default() };
        let generated = generate(&plan);
        if generated.harmed {
            harmed += 1;
            let verdict = verdict(&generated.history);
            assert!(matches!(verdict, Verdict::Violated(_)), "{plan:?}: {verdict:?}");
        }
    }
    assert!(harmed >= 20, "{bug:?} did harm in {harmed} runs only: the generator has lost its teeth");
}

#[test]
fn a_stale_linearizable_read_is_caught() {
    is_caught(Bug::StaleRead, 5);
}

#[test]
fn a_lost_write_is_caught() {
    is_caught(Bug::LostWrite, 0);
}

#[test]
fn a_write_that_is_executed_twice_is_caught() {
    is_caught(Bug::DoubleWrite, 0);
}

#[test]
fn a_compare_and_swap_that_does_not_compare_is_caught() {
    is_caught(Bug::BlindSwap, 5);
}

#[test]
fn a_wrong_value_is_caught() {
    is_caught(Bug::WrongValue, 5);
}

#[test]
fn two_writes_with_swapped_revisions_are_caught() {
    is_caught(Bug::SwappedWrites, 0);
}

#[test]
fn a_refused_write_that_is_executed_is_caught() {
    is_caught(Bug::RefusedButDone, 0);
}

#[test]
fn a_witness_changes_no_verdict() {
    let (mut passed, mut violated) = (0, 0);
    for seed in 0..30 {
        for bug in [None, Some(Bug::StaleRead), Some(Bug::WrongValue)] {
            let plan = Plan { seed, operations: 200, unknown_percent: 5, bug, ..Plan::default() };
            let own = generate(&plan);
            let foreign = generate(&Plan { seed: seed + 1_000, ..plan });
            let without = check(&own.history, &Limits::steps(STEPS));
            for witness in [&own.witness, &foreign.witness] {
                let with = check_with(&own.history, witness, &Limits::steps(STEPS));
                let both = (&without, &with);
                match both {
                    (Verdict::Passed(_), Verdict::Passed(_)) => passed += 1,
                    (Verdict::Violated(_), Verdict::Violated(_)) => violated += 1,
                    _ => panic!("{plan:?}: {both:?}"),
                }
            }
        }
    }
    assert!(passed >= 60 && violated >= 40, "{passed} passed, {violated} were violated: too few to tell");
}

#[test]
fn a_budget_that_runs_out_is_unknown_and_never_passed() {
    let history = generate(&Plan::default()).history;
    assert!(matches!(check(&history, &Limits::steps(3)), Verdict::Unknown(_)));
    let expired = Limits { steps: u64::MAX, expired: &|| true };
    let long = generate(&Plan { operations: 2_000, ..Plan::default() }).history;
    assert!(matches!(check(&long, &expired), Verdict::Unknown(_)));
}

#[test]
fn an_absurd_revision_is_a_violation_and_not_a_search() {
    let text = concat!(
        r#"{"history":"consensusctl","version":1}"#,
        "\n",
        r#"{"client":1,"invoked":0,"completed":5,"op":{"range":{"key":"a"}},"outcome":{"ok":{"range":{"revision":9223372036854775807}}}}"#
    );
    match verdict(&History::read(text.as_bytes()).unwrap()) {
        Verdict::Violated(explanation) => assert_eq!(explanation.rule, Rule::UnexplainedRevision),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_of_the_format_names_line_and_column() {
    let text =
        "{\"history\":\"consensusctl\",\"version\":1}\n{\"client\":1,\"invoked\":0,\"op\":{\"putt\":{}}}\n";
    let error = History::read(text.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("line 2, column 36: unknown variant `putt`"), "{error}");
}

#[test]
fn what_never_returns_is_recorded_as_unknown() {
    let recorder = Recorder::new(Header::default());
    let call = super::Call {
        client: 1,
        session: None,
        op: crate::kv::Op::OpenSession,
        consistency: super::Consistency::Linearizable,
    };
    let _ticket = recorder.invoke(7, call);
    recorder.fact(8, "kill node 1");
    let history = recorder.finish();
    assert!(matches!(history.operations[0].outcome, super::Outcome::Unknown(_)));
    assert_eq!(history.operations[0].line, 3);
}

/// Speed, as the documentation states it. Run with `cargo test --release -- --ignored --nocapture hundred_thousand`.
#[test]
#[ignore = "measures; meaningful in a release build only"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn a_hundred_thousand_operations_are_judged_in_under_ten_seconds() {
    for seed in 0..3 {
        let plan = Plan { seed, operations: 100_000, clients: 10, keys: 100, unknown_percent: 2, bug: None };
        let history = generate(&plan).history;
        let begun = std::time::Instant::now();
        let verdict = check(&history, &Limits::steps(u64::MAX));
        let took = begun.elapsed();
        println!("seed {seed}: {took:?}, {verdict:?}");
        assert!(matches!(verdict, Verdict::Passed(_)));
        assert!(took.as_secs() < 10, "{took:?}");
    }
}
