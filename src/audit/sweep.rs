//! One pass over a log's offsets, chunk by chunk: what should be there against what is.
//!
//! In: [`Chunk`]s, ascending and without a hole between them. Out: [`Offsets`] in each state, and
//! [`Findings`].
//!
//! # Invariants
//! - Every offset is in exactly one state.
//! - A batch is compared once the pass has reached its end; until then only its sums are kept, so
//!   memory is bounded by a chunk and the batches over its edge.
//! - Where batches overlap (offsets were set back), their union counts. There a newer mapping may
//!   make more rows of a record, so rows beyond a batch's own number are no fault.
//! - What a rule left out and is stored nevertheless was read again without the rule: no fault.
//! - What was retired on record is neither lost nor altered.
//!
//! Deliberately unknown here: how anything is asked.

use super::ranges::Ranges;
use super::report::{Finding, Findings, Offsets, Rows};
use crate::event::OffsetRange;
use crate::warehouse::{BatchLine, Stretch};

/// Most places of missing elements that are kept for a batch.
const MOST_PLACES: usize = 100;

/// What is known of a range of offsets.
#[derive(Debug)]
pub struct Chunk {
    /// The range.
    pub range: OffsetRange,
    /// What is stored of it.
    pub stretches: Vec<Stretch>,
    /// The batches that begin in it.
    pub batches: Vec<BatchLine>,
    /// Offsets of it that held no record.
    pub empty: Ranges,
}

/// A pass under way.
#[derive(Debug)]
pub struct Sweep {
    /// Up to here everything should be stored.
    due: i64,
    gaps: Ranges,
    open: Vec<Open>,
    /// The last offset of all batches so far.
    reach: Option<i64>,
    /// Offsets so far, by state.
    pub offsets: Offsets,
    /// Rows so far.
    pub rows: Rows,
    /// What is wrong so far.
    pub findings: Findings,
}

/// A batch whose end is not reached.
#[derive(Debug)]
struct Open {
    line: BatchLine,
    overlapped: bool,
    events: u64,
    quarantined: u64,
    positions: u64,
    repeats: u64,
    taken_back: u64,
    /// Offsets of it that have nothing.
    lost: u64,
    /// Where elements are missing, as far as their neighbours tell.
    places: Vec<Finding>,
}

impl Sweep {
    /// A pass over a log that should be stored up to `due`, but for these gaps.
    pub fn new(due: i64, gaps: Ranges) -> Sweep {
        Sweep {
            due,
            gaps,
            open: Vec::new(),
            reach: None,
            offsets: Offsets::default(),
            rows: Rows::default(),
            findings: Findings::default(),
        }
    }

    /// Go over the next chunk; the batches that ended in it as they should.
    pub fn take(&mut self, chunk: &Chunk) -> Vec<BatchLine> {
        for line in &chunk.batches {
            self.begin(*line);
        }
        for stretch in &chunk.stretches {
            let offsets = (stretch.last - stretch.first + 1) as u64;
            self.rows.events += offsets * stretch.events;
            self.rows.quarantine += offsets * stretch.quarantined;
            self.rows.retired +=
                offsets * (stretch.gone_events + stretch.gone_quarantined + stretch.redacted);
            if stretch.repeats > 0 {
                self.findings.duplicated.add(Finding {
                    first: stretch.first,
                    last: stretch.last,
                    records: offsets,
                    rows: offsets * stretch.repeats,
                });
            }
        }
        let lost = self.classify(chunk);
        self.compare(chunk, &lost)
    }

    fn begin(&mut self, line: BatchLine) {
        let overlapped = self.reach.is_some_and(|reach| line.first <= reach);
        if overlapped {
            for open in self.open.iter_mut().filter(|open| open.line.last >= line.first) {
                open.overlapped = true;
            }
        }
        self.reach = self.reach.max(Some(line.last));
        self.open.push(Open {
            line,
            overlapped,
            events: 0,
            quarantined: 0,
            positions: 0,
            repeats: 0,
            taken_back: 0,
            lost: 0,
            places: Vec::new(),
        });
    }

    /// Every offset of a chunk to its state; those that are lost.
    fn classify(&mut self, chunk: &Chunk) -> Ranges {
        let OffsetRange { first, last } = chunk.range;
        let whole = Ranges::one(first, last);
        let all = |holds: &dyn Fn(&Stretch) -> bool| {
            let those = chunk.stretches.iter().filter(|stretch| holds(stretch));
            Ranges::ascending(those.map(|stretch| (stretch.first, stretch.last)))
        };
        let retired = all(&is_retired);
        let quarantined = all(&|stretch| stretch.quarantined > 0 && !is_retired(stretch));
        let is_stored = |stretch: &Stretch| stretch.quarantined == 0 && stretch.events > 0;
        let stored = all(&|stretch| is_stored(stretch) && !is_retired(stretch));
        let skipped = all(&|stretch| stretch.positions == 0);
        let present = all(&|_| true);

        // Open batches ascend by their first offset: they were begun in that order.
        let recorded = Ranges::ascending(self.open.iter().map(|o| (o.line.first, o.line.last)));
        let recorded = recorded.and(&whole);
        let gaps = self.gaps.and(&whole).without(&recorded);
        let answered = recorded.or(&gaps);
        let rest = whole.without(&answered);
        let overdue = rest.and(&Ranges::one(first, self.due));

        let empty = chunk.empty.and(&recorded).without(&present);
        let unaccounted = overdue.and(&present);
        let lost = recorded.or(&overdue).without(&present).without(&empty);

        let offsets = &mut self.offsets;
        offsets.stored += stored.and(&answered).len();
        offsets.quarantined += quarantined.and(&answered).len();
        offsets.retired += retired.and(&answered).len();
        offsets.skipped += skipped.and(&answered).len();
        offsets.empty += empty.len();
        offsets.gap += gaps.without(&present).len();
        offsets.not_yet += rest.without(&overdue).len();
        offsets.unaccounted += unaccounted.len();
        offsets.lost += lost.len();
        self.findings.lost.add_records(&lost);
        self.findings.unaccounted.add_records(&unaccounted);
        lost
    }

    /// Add the chunk to the open batches; those that end in it and are as they should be.
    fn compare(&mut self, chunk: &Chunk, lost: &Ranges) -> Vec<BatchLine> {
        for open in &mut self.open {
            let range = OffsetRange { first: open.line.first, last: open.line.last };
            open.lost += lost.count_within(range);
            let from = chunk.stretches.partition_point(|stretch| stretch.last < range.first);
            for stretch in &chunk.stretches[from..] {
                if stretch.first > range.last {
                    break;
                }
                let (first, last) = (stretch.first.max(range.first), stretch.last.min(range.last));
                let offsets = (last - first + 1) as u64;
                // What was retired counts where it was.
                open.events += offsets * (stretch.events + stretch.gone_events);
                open.quarantined += offsets * (stretch.quarantined + stretch.gone_quarantined);
                open.positions += offsets * stretch.positions;
                open.repeats += offsets * stretch.repeats;
                open.taken_back += offsets * stretch.taken_back;
                if stretch.holes > 0 && open.places.len() < MOST_PLACES {
                    let rows = offsets * stretch.holes;
                    open.places.push(Finding { first, last, records: 0, rows });
                }
            }
        }
        let ended = |open: &mut Open| open.line.last <= chunk.range.last;
        let ended: Vec<Open> = self.open.extract_if(.., ended).collect();
        ended.into_iter().filter(|open| self.judge(open)).map(|open| open.line).collect()
    }

    /// Whether a batch has the rows that it says.
    fn judge(&mut self, open: &Open) -> bool {
        let BatchLine { first, last, event_rows, quarantined_rows, .. } = open.line;
        let missing = event_rows.saturating_sub(open.events)
            + quarantined_rows.saturating_sub(open.quarantined);
        // Of records that are lost as a whole at least one row each is missing.
        let mut elements = missing.saturating_sub(open.lost);
        // What a batch over the same offsets has told already is not told again.
        if open.overlapped && self.findings.lost.has_elements_in(first, last) {
            elements = 0;
        }
        for place in &open.places {
            let rows = place.rows.min(elements);
            if rows > 0 {
                self.findings.lost.add(Finding { rows, ..*place });
                elements -= rows;
            }
        }
        if elements > 0 {
            self.findings.lost.add(Finding { first, last, records: 0, rows: elements });
        }
        // A position in both tables is a row twice, and counted there.
        let twice = open.events + open.quarantined - open.positions;
        let beyond = (open.events.saturating_sub(event_rows)
            + open.quarantined.saturating_sub(quarantined_rows))
        .saturating_sub(twice + open.taken_back);
        if beyond > 0 && !open.overlapped {
            self.findings.unaccounted.add(Finding { first, last, records: 0, rows: beyond });
        }
        self.findings.uncompared_batches += u64::from(open.taken_back > 0);
        (open.events, open.quarantined, open.repeats) == (event_rows, quarantined_rows, 0)
    }
}

/// Whether any row of an offset was retired.
fn is_retired(stretch: &Stretch) -> bool {
    stretch.gone_events + stretch.gone_quarantined + stretch.redacted > 0
}
