"""ASSISTments 2017, data mining competition (ASSISTments longitudinal data).

The file has one row per action. All of them are read, as in published results on this log: scaffolding questions,
further attempts at a problem, whose `attemptCount` is 2 or more, and requests for hints, which are not correct.
Responses are sorted by `startTime`, which is also their time, in seconds since 1970. The value `noskill`, of 8 % of the
rows, means that a problem has no skill. Such rows are not read, unlike in many published results.

Source: https://sites.google.com/view/assistmentsdatamining; header:
https://github.com/tswsxk/EduData, docs/ASSISTments/ASSISTments2017.ipynb; the conventions are those of
https://github.com/pykt-team/pykt-toolkit, pykt/preprocess/assist2017_preprocess.py.
"""

from __future__ import annotations

from alsim.responses.formats.base import header
from alsim.responses.formats.conversion import PARTIAL_CREDIT, Layout, no_skill
from alsim.responses.formats.delimited import delimited_format

HEADER = header(
    "studentId,MiddleSchoolId,InferredGender,SY ASSISTments Usage,AveKnow,AveCarelessness,AveCorrect,"
    "NumActions,AveResBored,AveResEngcon,AveResConf,AveResFrust,AveResOfftask,AveResGaming,action_num,"
    "skill,problemId,problemType,assignmentId,assistmentId,startTime,endTime,timeTaken,correct,original,"
    "hint,hintCount,hintTotal,scaffold,bottomHint,attemptCount,frIsHelpRequest,frPast5HelpRequest,"
    "frPast8HelpRequest,stlHintUsed,past8BottomOut,totalFrPercentPastWrong,totalFrPastWrongCount,"
    "frPast5WrongCount,frPast8WrongCount,totalFrTimeOnSkill,timeSinceSkill,frWorkingInSchool,"
    "totalFrAttempted,totalFrSkillOpportunities,responseIsFillIn,responseIsChosen,endsWithScaffolding,"
    "endsWithAutoScaffolding,frTimeTakenOnScaffolding,frTotalSkillOpportunitiesScaffolding,"
    "totalFrSkillOpportunitiesByScaffolding,frIsHelpRequestScaffolding,timeGreater5Secprev2wrong,sumRight,"
    "helpAccessUnder2Sec,timeGreater10SecAndNextActionRight,consecutiveErrorsInRow,sumTime3SDWhen3RowRight,"
    "sumTimePerSkill,totalTimeByPercentCorrectForskill,Prev5count,timeOver80,manywrong,confidence(BORED),"
    "confidence(CONCENTRATING),confidence(CONFUSED),confidence(FRUSTRATED),confidence(OFF TASK),"
    "confidence(GAMING),RES_BORED,RES_CONCENTRATING,RES_CONFUSED,RES_FRUSTRATED,RES_OFFTASK,RES_GAMING,"
    "Ln-1,Ln,MCAS,Enrolled,Selective,isSTEM"
)

FORMAT = delimited_format(
    "assistments-2017",
    "ASSISTments 2017, data mining competition",
    (HEADER,),
    Layout(
        columns={
            "student": "studentId",
            "skill": "skill",
            "item": "problemId",
            "correct": "correct",
            "order": "startTime",
            "time": "startTime",
            "seconds": "timeTaken",
            "attempts": "attemptCount",
            "hints": "hintCount",
        },
        drops=(no_skill("skill", "noskill"), PARTIAL_CREDIT),
    ),
)
