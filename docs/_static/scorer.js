// How search results are ranked: Sphinx's own numbers; how-to guides before the rest, a section before its page, and decisions,
// the changelog and the list of Python functions behind pages that help at once.
var KINDS = [[/^how-to\//, 2], [/^(adr|project)\//, -3], [/^reference\/api$/, -12]];
var Scorer = {
  score: ([docname, , anchor, , score]) =>
    score + (anchor ? 3 : 0) + (KINDS.find(([kind]) => kind.test(docname)) ?? [null, 0])[1],
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
