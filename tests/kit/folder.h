/*  folder - a directory of its own for a test, gone when the test ends
 */
#ifndef FOLDER_H
#define FOLDER_H

//  A new empty directory under $TMPDIR or /tmp. It and all in it are removed
//  when the program ends, also after failed cases. The path lives until then.
const char *folder_new(void);

//  "FOLDER/NAME"; lives until the program ends.
const char *folder_path(const char *folder, const char *name);

#endif
