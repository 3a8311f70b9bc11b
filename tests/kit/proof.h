/*  proof - the whole test kit: CASE runs a behaviour, CHECK says what is true
 *
 *  A test program is a main of CASE lines that ends with `return
 *  proof_end();`. Each case prints one line that tests/run.py counts:
 *  "ok SAYS" or "not ok SAYS" with the place. A failed check ends its case,
 *  not the program. The sentence cites the invariants it holds, as in
 *  "invariant 7: ..." of the house or "flights 1: ..." of a header.
 */
#ifndef PROOF_H
#define PROOF_H

//  Run `function` as one case.
#define CASE(function, says) proof_case(function, says)

//  What must be so; else the case ends here, failed.
#define CHECK(true_thing)                                                      \
    ((true_thing) ? (void)0 : proof_fail(__FILE__, __LINE__, #true_thing))

void proof_case(void (*function)(void), const char *says);
_Noreturn void proof_fail(const char *file, int line, const char *what);

//  What main returns: 0 when every case passed and there was one.
int proof_end(void);

#endif
