/*  standard - what a process is started with
 *
 *  Called first, before anything is opened, by every program.
 */
#ifndef STANDARD_H
#define STANDARD_H

#include <signal.h>

//  Of descriptors 0, 1 and 2 those that are closed become ones that can neither
//  be read nor written: no file or socket comes to lie where a log goes.
void standard_hold(void);

//  The signals that ask a program to end in good order: SIGINT, SIGTERM, and
//  SIGHUP unless it is ignored, as nohup wants it.
void standard_endings(sigset_t *signals_r);

#endif
