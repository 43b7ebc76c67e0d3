//! Words that an order can open with: verbs of action in their base form, and the words of no such kind that may stand before them.

use super::other_languages::VERBS as OTHERS;
use super::words::{Token, name_words, of_word, token};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// Base forms of English verbs for what software, people in offices and agents are told to do. What is far more often a noun,
/// an adjective or a label at the start of a line (`total`, `open` as a state, `price`) is told apart where it stands.
const ACTIONS: &str = "\
    address annotate announce answer apologise apologize ask attest brief broadcast cc bcc chat circulate clarify comment communicate compliment \
    confirm congratulate contact convey correspond deliver dial direct disclose discuss dispatch email e-mail escalate explain express \
    fax forward greet inform introduce invite leak mail mention message notify page phone ping post propose publicise publicize publish \
    question recommend relay remind reply report request resend respond reveal say send share signal speak state submit summon tell text \
    transmit tweet urge warn whisper wire write yell \
    acquire advance bid bill book bribe buy charge checkout compensate contribute credit debit deposit donate exchange finance fund \
    gift hire insure invest invoice lease lend liquidate loan mortgage order overpay patronise pay pledge preorder prepay procure purchase \
    redeem refinance refund reimburse remit rent reorder repay reserve sell settle spend sponsor stake subscribe swap tip top-up trade \
    transact transfer underwrite unstake wager withdraw \
    access browse click crawl curl download drag drop enter explore fetch focus follow go goto grab hover install launch load locate \
    navigate open paste press proceed pull reach redirect refresh reload retrieve scroll select stream surf swipe tap toggle visit wget \
    abandon abolish abort annul archive ban block bury cancel cease clean cleanse clear close cut deactivate decline decommission \
    delete demolish deny deprecate deregister destroy detach disable discard discharge dismiss dispose disconnect eject eliminate empty \
    end erase evict exclude expel expire expunge extinguish flush forget halt ignore invalidate kick kill lock mute nuke nullify obliterate \
    omit overwrite purge quarantine quit reject remove rescind retire retract revert revoke sabotage scrap scrub shred shut silence skip \
    stop strip suppress suspend terminate trash uninstall unassign unban undo unfollow unfriend unlink unmount unpublish unregister \
    unset unshare unsubscribe vacate void wipe zap \
    add allocate append apply appoint arrange assemble assign attach author bake begin bind boot bookmark brew build calibrate cast \
    coin collect commence commission compile compose concoct configure construct convene cook craft create declare define deploy design \
    develop devise digitise digitize draft draw duplicate embed enclose engrave enlist enqueue enrol enroll enter establish fabricate file fill \
    forge form formulate found generate host implement import inaugurate include incorporate increment initialise initialize initiate inject \
    insert instantiate institute invent issue join kickstart label list log make manufacture map mark mint mock mount nominate note organise \
    organize originate paint pin place plan plant plot populate pour prepare prepend print produce program prototype provision put queue \
    raise record recreate register render replicate reproduce save schedule scaffold seed set setup sign sketch spawn specify star start \
    store stash synthesise synthesize tag template trigger type upload upvote vote zip \
    accelerate adapt adjust alter amend append augment boost bump capitalise capitalize change colour color complete compress condense \
    consolidate convert convolve correct crop customise customize decrease decrement defer delay demote diminish divert double downgrade \
    downsize edit elevate enhance enlarge escalate exceed expand expedite extend finalise finalize fix flip format halve heal hide hasten \
    improve increase inflate indent interchange invert iterate justify lengthen level limit lower maximise maximize merge minify minimise minimize \
    modernise modernize modify move narrow normalise normalize obfuscate offset optimise optimize override overhaul pad paraphrase \
    partition patch personalise personalize polish postpone prefix prioritise prioritize promote prune quicken rearrange rebase rebook rebrand \
    rebuild recolor reconfigure rectify recycle redesign redirect redo reduce refactor refine reformat relabel relocate remap rename renew \
    renovate reopen reorganise reorganize repair replace rephrase reposition reschedule reset reshape resize restructure rethink retitle \
    retry reverse revise revamp rewrite rotate round scale scramble shift shorten shrink shuffle simplify smooth soften sort split squash \
    stabilise stabilize standardise standardize straighten strengthen stretch substitute subtract switch tailor tidy tighten transcode \
    transcribe transform translate transliterate transpose trim triple truncate tune tweak twist unify unpin unarchive untag update upgrade \
    uppercase vary weaken whitelist widen wrap \
    accept acknowledge activate admit agree allow approve assent attribute authenticate authorise authorize bless bypass certify clear commit \
    comply consent delegate deputise designate elect empower enable endorse endow ensure entitle entrust exempt excuse expose favour favor \
    federate free grant guarantee hand impersonate legalise legitimise let license notarize permit pardon privilege ratify reactivate readmit \
    reassign reinstate release restore sanction secure share sudo surrender unblock unfreeze unhide unlock unmask unmute validate vouch waive welcome \
    analyse analyze appraise ascertain assess audit benchmark browse calculate categorise categorize characterise check cite classify compare \
    compute conclude consider consult contemplate contrast count cross-check crosscheck debug decide deduce derive detect determine diagnose \
    diff differentiate discern discover distinguish divide dump enumerate estimate evaluate examine expect explore export extract extrapolate \
    figure filter find forecast gather gauge google grade group guess hash highlight hunt identify index infer inspect interpolate interpret interview \
    intercept investigate itemise itemize judge learn listen look lookup match measure monitor multiply notice observe outline parse peek \
    peruse pick pinpoint poll predict probe profile proofread prove quantify query quote rank rate read recall recite recommend reconcile \
    reflect research resolve retrace review sample scan score scour scout scrape screen screenshot scrutinise scrutinize search see seek show \
    simulate skim sniff solve specify spot study sum summarise summarize surveil survey tally test trace track transcribe triage troubleshoot \
    uncover verify view visualise visualize watch weigh \
    accompany accomplish accumulate achieve act aim align answer anticipate approach assert assist assume attain attempt attend automate avoid \
    backup balance batch be bear become behave bring broaden bundle call capture care carry catch celebrate centralise challenge chain check-in \
    checkin choose claim climb coach collaborate combine come communicate compete concentrate conduct confiscate connect conserve consume \
    continue contract contrive control cooperate coordinate copy cover cross dance dare deal decode decrypt dedicate defend define demand demonstrate \
    depart describe desist detail devote diagnose dig disarm disregard disseminate distribute do document drain drive earn educate embrace emit \
    employ emulate encode encourage encrypt enforce engage enjoy enqueue equip evade exec execute exercise exfiltrate exit experiment exploit express \
    extort facilitate fail favorite favourite feed fetch fight finish fire fit flag flash fork free fulfil fulfill gain get give grow guard \
    guide handle harvest have head help hijack hold impose imitate influence install instruct integrate interact interrupt introduce invoke jump keep \
    knock lead leave leverage lift like line link lift liaise loop maintain manage manipulate march meet memorise memorize mentor merge migrate mimic \
    mind mirror mix mobilise model motivate multiply navigate negotiate nudge obey observe obtain occupy offer onboard offboard offload operate orchestrate \
    outsource oversee overrule pack pair park participate pass pause perform persist persuade pivot play point ponder practise practice prefer present \
    pretend prevent process prolong promise prompt protect provide provoke pump push pursue quell race ram react reason reassure reboot recharge \
    receive recruit recover refer refrain regain regulate rehearse relax rely remain remember repeat rephrase represent rescue resist resort \
    restart restrict resume retain return reuse ride rob run rush safeguard satisfy scare seal seize separate serve shake ship shoot \
    shop shorten shout sign-up signup simulate sink sit sleep slide sling smuggle snapshot snooze solicit spare spoof spread spy squeeze stack stage \
    stand stay steal steer step stick stock strike structure struggle subcontract supervise supplement supply support surface survive sustain swear \
    sweep sync synchronise synchronize tackle take tamper target teach team tempt tender think throw throttle tick tie touch train travel treat treble try \
    tunnel turn unbind uncheck undertake undock unite unleash unload unpack unroll unwrap untar unzip unveil use utilise utilize venture wait wake walk want \
    warm wear win withhold witness work wrestle yield \
    acquit adopt adjourn advertise advise affirm afford amplify appeal appease apprehend arbitrate arrest articulate banish bargain blackmail bluff board boil \
    borrow brainstorm calm campaign canvass chase cherry-pick chop circumvent classify clip clone coax coerce commute confess confide confront \
    conjure convince counter crack curate dampen date deceive deduct deflect deliberate depict deter dictate dilute dim disguise dispute dissolve \
    distort distract dock dodge dub dye elaborate elicit emphasise emphasize enact endanger enlighten entertain enter entice enumerate envision escort evacuate \
    evolve exaggerate excavate extradite fabricate feature fend ferry festoon finetune fine-tune flatter flatten fold force forfeit fortify foster frame freeze \
    frighten garnish ghost glue grind harden harm harness hint hurry illustrate immerse impart impeach imply import impound inhibit insist insult invade invoke isolate \
    jeopardise jot juggle kindle lace ladle lay lobby lure mail-merge mediate mend misreport mislead mobilize modulate mould nest notch nurture overcharge overlay \
    overload overstate outbid oust page pamper pay-out peel penalise perpetuate phish piggyback pilfer pitch plead pledge plunder plug police polish pop postdate preempt \
    prescribe preserve press presume proclaim promulgate prosecute quash quench ransom ration recap recompile recompute rediscover reenable re-enable reengage reimagine \
    reinforce reissue rekey relaunch relinquish remake remedy remodel rent-out repaint repatriate repost repurpose reroute rerun resell reshare resubmit retell \
    retest retrain retweet reupload reword rinse rollback roll sanitise sanitize scatter scold segment shelve shield shuttle sideload siphon sneak solder spam \
    spell sprinkle staple stir stipulate strap stuff suggest sue summarise swab tabulate tape taunt taste tease thaw thread thwart timestamp tokenise tokenize tolerate toss tow \
    trail trap trick unfold uninvite unify unravel unsend usher usurp vaccinate vectorize veto vet video volunteer wash water weave wean weld whip wrangle";

/// Words of a closed kind, adverbs and the like: none of them is a verb that an order opens with, whatever follows.
const NEVER: &str = "\
    a aboard about above abroad accordingly across actually after afterwards again against ago all almost alone along already also alternatively \
    although always am amid among amongst an and another any anybody anyone anything anyway apart are around as aside at away back basically because been \
    before behind being below beneath beside besides best between beyond both but by can cannot concerning consequently considering could currently dear despite did \
    does doing done down during each either else elsewhere enough especially even eventually ever every everybody everyone everything except few \
    fewer finally first following for former formerly fortunately from further furthermore generally given good great had half hardly has hello hence her here hers herself \
    hey hi him himself his hopefully how however hundred i if in indeed inside instead into is it its itself just largely last lastly later latest latter least \
    less lest like likewise many may maybe me meanwhile might mine more moreover most mostly much must my myself namely near nearly neither never \
    nevertheless new next no nobody none nonetheless nor not nothing notwithstanding now nowhere obviously of off often oh ok okay on once one \
    only onto opposite or other others otherwise ought our ours ourselves out outside over overall own particularly past per perhaps plenty please plus possibly \
    presumably previously probably quite rather really recently regarding regardless respectively same second secondly seldom several shall she should similarly since \
    six so some somebody somehow someone something sometimes somewhat somewhere soon sorry still such ten than thank thanks that the their theirs them \
    themselves then there thereafter thereby therefore these they third this those though thousand three through throughout thus till to today together \
    tomorrow tonight too toward towards twice two under underneath unfortunately unless unlike until unto up upon us usually various versus very via was we well were what \
    whatever when whenever where whereas wherever whether which whichever while who whoever whole whom whose why will with within without wonderful would \
    yeah yes yesterday yet you your yours yourself yourselves";

/// Words in front of which an unknown word at the start of a sentence is a verb: `frobnicate the`.
const DETERMINERS: &[&str] = &[
    "a", "all", "an", "any", "each", "every", "her", "him", "his", "it", "its", "me", "my", "our", "the", "their",
    "them", "these", "this", "those", "us", "your",
];

/// The verbs of action, separated by spaces.
pub(crate) fn actions() -> &'static str {
    ACTIONS
}

type Set = HashSet<Token, ahash::RandomState>;

fn set(words: &str) -> Set {
    words.split_ascii_whitespace().map(|word| token(word.as_bytes())).collect()
}

static BASE: LazyLock<Set> = LazyLock::new(|| {
    let mut base = set(ACTIONS);
    OTHERS.iter().for_each(|(_, words)| base.extend(set(words)));
    base
});
static CLOSED: LazyLock<Set> = LazyLock::new(|| set(NEVER));

/// The verbs that count: the built-in ones, and those that the names of tools begin with.
#[derive(Clone, Debug, Default)]
pub struct Verbs {
    more: Set,
}

impl Verbs {
    /// Verbs beyond the built-in ones that are kept.
    const MAX: usize = 4096;

    /// Adds the word that a tool's name opens with, so that an order in the words of an unusual tool is seen as one.
    pub fn add_tool(&mut self, name: &str) {
        let first = name_words(name).into_iter().next();
        if let Some(word) = first.filter(|word| word.len() > 2 && self.more.len() < Self::MAX && !never(word)) {
            self.more.insert(token(word.as_bytes()));
        }
    }

    /// Whether the word, in small letters, is a verb of action in its base form.
    pub fn is_base(&self, word: &str) -> bool {
        is_action(word) || !self.more.is_empty() && self.more.contains(&token(word.as_bytes()))
    }
}

/// Whether the word, in small letters, is a built-in verb of action in its base form.
pub(crate) fn is_action(word: &str) -> bool {
    BASE.contains(&token(word.as_bytes()))
}

/// Whether the word is of a kind that no order opens with.
pub(crate) fn never(word: &str) -> bool {
    CLOSED.contains(&token(word.as_bytes()))
}

/// Whether the word could be a verb in its base form that the list does not know: nothing about it says otherwise.
pub(crate) fn may_be_verb(word: &str) -> bool {
    word.len() > 2
        && word.bytes().all(|b| b.is_ascii_lowercase())
        && !["ly", "ing", "ed", "s", "tion", "ment", "ness", "ity", "ous", "ful", "able"]
            .iter()
            .any(|end| word.ends_with(end))
        && !never(word)
}

/// Whether the word opens the object of a verb.
pub(crate) fn is_determiner(word: &str) -> bool {
    DETERMINERS.binary_search(&word).is_ok()
}

/// What means the same thing when it is asked of an agent: the words of an order and those of the tool that carries it out.
const ALIKE: &[&str] = &[
    "send mail email forward message reply tell notify inform write deliver report submit post publish share upload transmit communicate contact \
     dispatch relay text tweet broadcast announce respond answer sms chat dm slack",
    "pay transfer wire money transact transaction fund payment purchase buy order checkout cart shop book reserve reservation booking rent deposit withdraw \
     refund remit donate charge bill invoice settle redeem subscribe send",
    "visit open go click access fetch browse navigate download load crawl curl web webpage page url link site website http request get scrape goto",
    "delete remove erase wipe drop cancel revoke uninstall destroy clear kill terminate block unsubscribe purge trash discard archive close disable unlink \
     empty shred reset stop detach",
    "create add make schedule generate register insert new put place open set append star follow like subscribe sign join mark rate review comment \
     draft compose build start log record save store plan arrange book issue file vote write post",
    "update change modify set edit reset rename move replace overwrite reschedule adjust configure patch switch turn enable disable alter amend correct \
     increase decrease postpone shift upgrade",
    "invite grant permission permit role owner ownership collaborator member access key credential authorize authenticate password share ssh token allow \
     approve enroll admin privilege promote assign unlock",
    "read get list search find look check view retrieve show extract copy collect query summarize review lookup fetch display inspect examine see verify \
     download export dump load open scan browse",
    "run execute exec call invoke use start launch install deploy command script shell bash terminal eval trigger perform",
    "move copy rename duplicate transfer clone backup sync export import migrate save",
];

static GROUPS: LazyLock<HashMap<Token, u16, ahash::RandomState>> = LazyLock::new(|| {
    let mut groups: HashMap<Token, u16, ahash::RandomState> = HashMap::default();
    let others = OTHERS.iter().map(|(group, words)| (*group, *words));
    for (bit, words) in ALIKE.iter().copied().enumerate().chain(others) {
        for word in words.split_ascii_whitespace() {
            *groups.entry(of_word(word)).or_default() |= 1_u16 << bit;
        }
    }
    groups
});

/// The groups of like words that a token belongs to, one bit each.
pub(crate) fn groups(token: Token) -> u16 {
    GROUPS.get(&token).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_broad_and_of_base_forms() {
        let verbs: HashSet<&str> = ACTIONS.split_ascii_whitespace().collect();
        assert!(verbs.len() > 900, "{}", verbs.len());
        let closed: Vec<&&str> =
            verbs.iter().filter(|verb| never(verb) && !matches!(**verb, "like" | "further" | "mine" | "own")).collect();
        assert!(closed.is_empty(), "{closed:?}");
        assert!(DETERMINERS.is_sorted());
    }

    #[test]
    fn verbs_of_tools_count_once_their_tool_is_known() {
        let mut verbs = Verbs::default();
        assert!(!verbs.is_base("frobnicate") && !verbs.is_base("sending"));
        verbs.add_tool("frobnicateWidget");
        assert!(verbs.is_base("frobnicate"));
    }
}
