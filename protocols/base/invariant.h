/*  invariant - what must hold, or the process stops saying so
 *
 *  An invariant guards against our own mistakes, never against the outside
 *  world: a bad frame, a full disk or a silent peer is a status (status.h).
 *  Invariants are cheap and are never compiled out.
 */
#ifndef INVARIANT_H
#define INVARIANT_H

_Noreturn void invariant_broken(const char *invariant, const char *file,
                                int line);

#define INVARIANT(holds)                                                       \
    ((holds) ? (void)0 : invariant_broken(#holds, __FILE__, __LINE__))

#endif
