"""Longer, realistic sources, written for these tests."""

POSTS = (
    """SUBREDDIT: r/relationships

TITLE: My [27F] best friend [28F] stopped answering after I moved to another city, not sure how to handle it

POST: We met in college and shared an apartment for almost four years. Last spring I accepted a job offer in
Denver, and she seemed supportive while I packed. During the first month we called every Sunday evening. Then
she missed two calls, apologised by text, and blamed a stressful project at the hospital. Since August I have
written maybe fifteen messages and received three short replies. Mutual friends tell me that she is dating
somebody and goes climbing every weekend, so she clearly has free time. Her mother invited me to a birthday
dinner in November and I already bought a ticket. My husband thinks I should confront her directly, my sister
says friendships simply fade with distance. I feel hurt, a bit embarrassed, and I keep checking my phone at
lunch. I do not want to ruin a family celebration with drama. Would you send one honest letter before the trip,
or wait and talk in person?

TL;DR:""",
    """SUBREDDIT: r/personalfinance

TITLE: Landlord wants to keep the whole deposit because of a carpet stain, what evidence do I need?

POST: I rented a small studio in Portland for three years and moved out on the first of June. Before leaving I
cleaned the oven, painted one wall, patched nail holes and filmed every room with my camera. The walkthrough
with the property manager took five minutes and she said everything looked wonderful. Yesterday I received a
letter claiming $1,450 for a replacement carpet and a broken blind. The carpet was at least ten years old
according to a neighbour, and the blind was damaged when I arrived; I reported it by email in the first week.
State law seems to require receipts and depreciation, yet the invoice only shows a total. I earn $2,600 per
month and the deposit was supposed to cover the move. A coworker suggested small claims court, but filing fees
and a day without wages scare me. Has anyone negotiated something like this, and should my first step be a
certified letter with photographs attached?

TL;DR:""",
)

ABSTRACTS = (
    """Understanding how seismic waves scatter in volcanic regions is essential for locating magma reservoirs, yet
dense arrays are rarely available on remote islands. We present a tomographic inversion that combines ambient
noise correlations with teleseismic receiver functions in a single Bayesian framework. The posterior is sampled
with a transdimensional Markov chain, so the number of velocity layers need not be fixed in advance. Applied to
eighteen months of recordings from forty-two broadband stations around an active caldera, the procedure resolves
a low velocity body at depths between three and six kilometres. Synthetic tests indicate that lateral boundaries
are recovered within eight hundred metres, whereas conventional damping smears them across several cells. The
inferred melt fraction, roughly eleven percent, agrees with petrological estimates from erupted pumice. Because
the workflow relies on passive data only, it can be repeated after every swarm and may help observatories to
issue earlier warnings for nearby communities.""",
    """Antimicrobial peptides are promising alternatives to classical drugs, but screening candidate sequences in the
laboratory remains slow and costly. Here we train a graph neural network on curated assays of nine thousand
peptides and predict minimum inhibitory concentrations against five hospital pathogens. Residue contacts are
taken from predicted structures, which lets the model exploit folding patterns that string encoders overlook. On
a held-out family split the correlation with measured activity rises from 0.54 to 0.71, and toxicity toward
human erythrocytes is anticipated with comparable precision. We synthesised sixty designs proposed by a genetic
search over the network; forty-four inhibited growth and seven outperformed colistin at equal dose. Mutational
scans reveal that amphipathic helices with a central proline are favoured, consistent with membrane disruption.
The released software allows groups without structural expertise to rank libraries overnight, and suggests that
modest experimental budgets suffice to discover leads against resistant strains.""",
)

SUMMARIES = (
    (
        """After I moved to Denver for a job, my best friend from college stopped answering. She says she is stressed by a
hospital project, but friends report that she is dating and climbing. I already have a ticket for her mother's
birthday dinner and do not know whether to write one honest letter first or to talk in person.""",
        """First of all, the writer feels hurt because a friend of many years, with whom she shared an apartment in
college, has gone quiet since the spring. They used to call every Sunday evening; then calls were missed and
excuses came by text, for example a stressful project. In fact about fifteen messages since August have earned
only three short replies, while mutual friends say that the woman has time for climbing every weekend. Similarly
the family gives different advice: the husband wants a direct confrontation, although the sister believes that
distance simply makes friendships fade. If she travels in November, she would rather not ruin the celebration
with drama. In summary, she checks her phone at lunch, feels embarrassed, and asks whether a letter before the
trip is wiser than waiting.""",
    ),
    (
        """A property manager praised my clean studio in Portland, and now the landlord claims $1,450 for an old carpet and
a blind that was broken when I came. I have emails and a film of every room. Should I begin with a certified
letter or go to small claims court?""",
        """First of all, the tenant lived in the studio for three years and left it in good order: the oven was cleaned, a
wall painted, nail holes patched. Indeed the manager called everything wonderful after a walkthrough of five
minutes. However, a letter now asks for a replacement carpet, although a neighbour says that the old one was at
least ten years of age, and for a blind whose damage had been reported by email in the first week. Because the
law of the state seems to want receipts and depreciation, a bare total on an invoice may not be enough; for
example, nobody subtracted the age of the carpet. If the matter went to court, fees and lost wages would hurt
somebody who earns $2,600 a month. Similarly the deposit was meant to pay for the move. In summary, the question
is whether photographs and a certified letter can bring the landlord to negotiate, while the money is still
held.""",
    ),
)
"""What somebody who read the posts would write about each of them, the summary and the elaboration."""
