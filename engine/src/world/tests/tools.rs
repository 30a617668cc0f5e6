//! Tools: called by functions and by agents, slow, broken, too late, and withdrawn.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::episode::FaultKind;
use crate::tool::{Tool, ToolFault, ToolFuture, ToolLimits, ToolRequest, Tools};

const LOOKUP: &str = r#"
[team]
name = "lookup"
[functions.facts]
op = "tool"
tool = "search"
arguments = { query = "{{ task }}" }
sees = ["task"]
[agents.reader]
role = "Read."
policy = "p"
sees = ["facts"]
"#;

const REACT: &str = r#"
[team]
name = "react"
[agents.agent]
role = "Think."
policy = "p"
tools = ["search"]
max_tool_calls = 2
"#;

fn search(limits: ToolLimits, call: impl Fn(&str) -> Result<String, ToolFault> + Send + Sync + 'static) -> Tools {
    let mut tools = Tools::default();
    tools.blocking("search", limits, move |request: ToolRequest| {
        call(request.arguments.get("query").and_then(|query| query.as_str()).unwrap_or_default())
    });
    tools
}

fn fault(transient: bool) -> ToolFault {
    ToolFault { message: "503".to_owned(), transient }
}

#[test]
fn a_function_gets_the_result_of_its_tool() {
    let tools = search(ToolLimits::default(), |query| Ok(format!("about {query}")));
    let voice = letters(None, |_, shown| if shown.contains("about lek") { "yes" } else { "no" }.to_owned());
    let records = play(EngineConfig { tools, ..world(LOOKUP, voice) }, [asked(1, "lek")]);
    assert_eq!(records[0].reward.as_ref().unwrap().total, 1.0);
    assert_eq!(records[0].turns[0].text, "about lek");
}

#[test]
fn a_tool_that_breaks_is_a_fault_and_is_tried_again_where_that_may_help() {
    for (transient, calls_expected) in [(true, 3), (false, 1)] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let tools = search(ToolLimits::default(), move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Err(fault(transient))
        });
        let config = EngineConfig { tools, retries: 2, ..world(LOOKUP, letters(None, |_, _| "yes".to_owned())) };
        let mut engine = Engine::new(config).unwrap();
        engine.open(asked(1, "q"));
        engine.run().unwrap();
        let record = engine.take_closed().remove(0);
        assert_eq!(calls.load(Ordering::Relaxed), calls_expected);
        assert_eq!((&*record.end, record.reward.is_none()), ("fault", true));
        assert!(record.faults.iter().all(|fault| fault.kind == "tool"));
        let counted = engine.faults()[&FaultKind::Tool];
        assert_eq!((counted.mended, counted.lost), (calls_expected as u64 - 1, 1), "counted apart");
    }
    let unknown = play(world(LOOKUP, letters(None, |_, _| "yes".to_owned())), [asked(1, "q")]);
    assert!(unknown[0].faults[0].message.contains("no tool called `search`"));
    let panics = search(ToolLimits::default(), |_| panic!("a bug in the tool"));
    let record =
        play(EngineConfig { tools: panics, ..world(LOOKUP, letters(None, |_, _| "yes".to_owned())) }, [asked(1, "q")]);
    assert!(record[0].faults[0].message.contains("panicked"));
}

#[test]
fn a_slow_tool_holds_back_nobody_else() {
    let (open, gate) = crossbeam::channel::bounded::<()>(0);
    let tools = search(ToolLimits::default(), move |query| {
        if query == "slow" {
            gate.recv().ok();
        }
        Ok("found".to_owned())
    });
    let mut engine =
        Engine::new(EngineConfig { tools, ..world(LOOKUP, letters(None, |_, _| "yes".to_owned())) }).unwrap();
    engine.open(asked(0, "slow"));
    (1..20).for_each(|number| engine.open(asked(number, "quick")));
    while engine.progress().open > 1 {
        engine.tick(Duration::from_millis(200)).unwrap();
    }
    assert_eq!(engine.take_closed().len(), 19, "everybody else is done while the slow one waits");
    drop(open);
    engine.run().unwrap();
    assert!(engine.take_closed()[0].is_sound());
}

#[test]
fn a_tool_or_a_turn_that_takes_too_long_is_given_up() {
    let (held, gate) = crossbeam::channel::bounded::<()>(0);
    let held = Arc::new(Mutex::new(Some(held)));
    let waits = move |_: &str| {
        gate.recv().ok();
        Ok(String::new())
    };
    let limits = ToolLimits { patience: Duration::from_millis(20), ..ToolLimits::default() };
    let tools = search(limits, waits.clone());
    let voice = || letters(None, |_, _| "yes".to_owned());
    let record = play(EngineConfig { tools, ..world(LOOKUP, voice()) }, [asked(1, "q")]).remove(0);
    assert_eq!((record.faults[0].kind.as_str(), &*record.end), ("tool", "fault"));
    assert!(record.faults[0].message.contains("no result within"), "{}", record.faults[0].message);

    let tools = search(ToolLimits::default(), waits);
    let patience = Some(Duration::from_millis(20));
    let record = play(EngineConfig { patience, tools, ..world(LOOKUP, voice()) }, [asked(1, "q")]).remove(0);
    assert_eq!((record.faults[0].kind.as_str(), &*record.end), ("deadline", "fault"));
    held.lock().unwrap().take();
}

/// Counts how many calls were begun, and dropped before they ended.
#[derive(Debug, Clone, Default)]
struct Endless {
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Tool for Endless {
    fn call(&self, _request: ToolRequest) -> ToolFuture<'_> {
        struct Guard(Endless);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.dropped.fetch_add(1, Ordering::SeqCst);
            }
        }
        let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(begun - self.dropped.load(Ordering::SeqCst), Ordering::SeqCst);
        let guard = Guard(self.clone());
        Box::pin(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
            Ok(String::new())
        })
    }
}

#[test]
fn a_call_that_is_given_up_is_dropped_and_never_more_run_than_may() {
    let tool = Endless::default();
    let mut tools = Tools::default();
    let limits = ToolLimits { concurrency: 3, patience: Duration::from_mins(1) };
    tools.register("search", limits, Arc::new(tool.clone()));
    let patience = Some(Duration::from_millis(60));
    let config = EngineConfig { patience, tools, ..world(LOOKUP, letters(None, |_, _| "yes".to_owned())) };
    let records = play(config, (0..9).map(|number| asked(number, "q")));
    assert!(records.iter().all(|record| record.faults[0].kind == "deadline"));
    assert!(tool.most.load(Ordering::SeqCst) <= 3, "a semaphore holds the others back");
    for _ in 0..400 {
        if tool.dropped.load(Ordering::SeqCst) == tool.begun.load(Ordering::SeqCst) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("calls go on although nobody waits for them");
}

#[test]
fn an_agent_calls_tools_within_its_turn() {
    let tools = search(ToolLimits::default(), |query| Ok(format!("{query} is a currency")));
    let voice = letters(None, |_, shown| {
        let call = |name: &str| {
            format!("<tool_call>{{\"name\": \"{name}\", \"arguments\": {{\"query\": \"lek\"}}}}</tool_call>")
        };
        match shown.matches("<tool_response>").count() {
            0 => format!("{}{}", call("delete"), call("search")),
            _ => "yes".to_owned(),
        }
    });
    let record = play(EngineConfig { tools, ..world(REACT, voice) }, [asked(1, "q")]).remove(0);
    assert_eq!(record.turns.len(), 1, "one turn, whatever it calls");
    assert_eq!((record.turns[0].text.as_str(), record.reward.as_ref().unwrap().total), ("yes", 1.0));
    let shown = text_of(&record.segments[0].ids);
    assert!(shown.contains("You may call these tools: search"), "{shown}");
    let places = ["there is no tool `delete`", "lek is a currency"].map(|part| shown.find(part));
    assert!(places[0].is_some() && places[0] < places[1], "in the order of the calls: {shown}");
    let kinds: Vec<_> =
        record.segments[0].spans.iter().map(|span| matches!(span.kind, crate::episode::SpanKind::Observed)).collect();
    assert_eq!(kinds, [true, false, true, false], "what a tool says is observed, never trained");
    assert_eq!(record.turns[0].tokens, record.segments[0].sampled());
}
