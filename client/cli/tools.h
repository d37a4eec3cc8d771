/* tools.h - the tools, each as a function: alone in a program of its own, all together in `baton`.
 */
#ifndef BATON_CLIENT_CLI_TOOLS_H
#define BATON_CLIENT_CLI_TOOLS_H

/* Each takes main's arguments and returns an exit status (enum cli_status). */
int pub_main(int argc, char **argv);
int sub_main(int argc, char **argv);
int request_main(int argc, char **argv);
int serve_main(int argc, char **argv);
int status_main(int argc, char **argv);
int demo_main(int argc, char **argv);
int baton_main(int argc, char **argv);

#endif
