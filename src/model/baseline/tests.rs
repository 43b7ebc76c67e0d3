use super::*;
use crate::call::Text;
use crate::model::act::Act;
use crate::model::forest::Draw;

/// A session of one agent among four, each with tools of its own that follow each other.
fn session(number: usize, draw: &mut Draw) -> Acts {
    let agent = number as u64 % 4;
    let host = |n: usize| (hash::name(&[&format!("h{n}")]), Text::from(format!("h{n}.example")));
    let call = |step: u64, draw: &mut Draw| Act {
        tool: 100 * agent + step,
        server: agent,
        shape: 1,
        sent: Some(4.0 + draw.unit() as f32),
        received: Some(6.0 + draw.unit() as f32),
        destinations: if step == 2 { Box::new([host(draw.below(3))]) } else { Box::default() },
        acts: step == 2,
        ..Act::default()
    };
    let steps = 3 + draw.below(4) as u64;
    let calls =
        (0..steps).map(|at| call(if draw.unit() < 0.1 { draw.below(4) as u64 } else { at % 4 }, draw)).collect();
    Acts { session_id: format!("s{number}"), agent: agent + 1, client: 9, calls, ..Acts::default() }
}

fn fit(sessions: &[Acts]) -> Option<Baseline> {
    Baseline::fit(&sessions.iter().collect::<Vec<_>>(), 1, &BTreeSet::new()).map(|(baseline, _)| baseline)
}

fn fleet() -> (Vec<Acts>, Draw) {
    let mut draw = Draw::new(5);
    ((0..400).map(|number| session(number, &mut draw)).collect(), draw)
}

#[test]
fn what_an_agent_never_did_is_strange_and_said_in_words() {
    let (sessions, mut draw) = fleet();
    let baseline = fit(&sessions).expect("enough sessions");
    assert_eq!(baseline, fit(&sessions).expect("again"), "one seed, one baseline");
    let normal: Vec<Acts> = (1000..1200).map(|number| session(number, &mut draw)).collect();
    let strange = normal.iter().filter(|session| baseline.judge(session).level > 2.0 / 3.0).count();
    assert!(strange <= 6, "about one in a hundred is as strange as one in a hundred, not {strange} of 200");

    let mut exfiltration = normal[0].clone();
    let host = (hash::name(&["files.example"]), Text::from("files.example"));
    exfiltration.calls.push(Act {
        sent: Some(8.3),
        destinations: Box::new([host]),
        acts: true,
        ..exfiltration.calls[2].clone()
    });
    let judged = baseline.judge(&exfiltration);
    let worst = (0..judged.calls.len()).max_by(|a, b| judged.calls[*a].total_cmp(&judged.calls[*b]));
    assert_eq!(worst, Some(exfiltration.calls.len() - 1), "{:?}", judged.calls);
    assert!(judged.level > 0.6, "{judged:?}");
    let words = baseline.explain(&exfiltration, &judged, exfiltration.calls.len() - 1, "upload");
    assert!(
        words.contains("upload sent 4.0 kB to files.example, never seen for this agent or any other (400 sessions)"),
        "{words}"
    );

    // The calls of one agent under the name of another.
    let masked = Acts { agent: 2, ..normal[0].clone() };
    let (honest, masked) = (baseline.judge(&normal[0]), baseline.judge(&masked));
    assert!(masked.level > honest.level + 0.2, "{} {}", honest.level, masked.level);
    let nearest = baseline.nearest(&normal[0]);
    assert!(nearest.len() == 3 && nearest[0].1 > 0.8, "{nearest:?}");
}

#[test]
fn few_empty_and_constant_sessions_have_results() {
    let (sessions, _) = fleet();
    assert!(fit(&sessions[..ENOUGH - 1]).is_none() && fit(&[]).is_none());
    let same: Vec<Acts> = (0..50).map(|n| Acts { session_id: n.to_string(), ..sessions[0].clone() }).collect();
    let baseline = fit(&same).expect("enough");
    assert!(baseline.is_sound() && baseline.judge(&same[0]).level < 0.2);
    for session in [Acts::default(), Acts { calls: vec![Act::default()], ..Acts::default() }] {
        let judged = baseline.judge(&session);
        assert!((0.0..=1.0).contains(&judged.level));
        assert!(!baseline.explain(&session, &judged, 0, "t").is_empty() || session.calls.is_empty());
    }
    let wild = Act { sent: Some(f32::NAN), received: Some(f32::INFINITY), time: Some(i64::MAX), ..Act::default() };
    let early = Act { time: Some(i64::MIN), ..wild.clone() };
    assert!(baseline.judge(&Acts { calls: vec![wild, early], ..Acts::default() }).level.is_finite());
    let text = serde_json::to_string(&baseline).expect("finite numbers");
    assert_eq!(serde_json::from_str::<Baseline>(&text).expect("its own text"), baseline);
}
