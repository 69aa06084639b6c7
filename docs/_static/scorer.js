// How search results are ranked: Sphinx's own numbers, and decisions and the changelog behind pages that help at once.
var Scorer = {
  score: ([docname, , , , score]) => score - (/^(adr|project)\//.test(docname) ? 3 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
